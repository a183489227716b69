"""The commands that take a recipe. Their options are the fields of its own Config, and the dataclasses here."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import numpy as np
import tyro

from recipes.errors import ConfigError, DataError, UsageError, did_you_mean
from recipes.settings import meanings, read_config
from recipes.verbs.predict import check_options
from recipes.verbs.recipe import Recipe


@dataclass(frozen=True)
class Start:
    """Where the settings start from; any of them given as an option comes after."""

    setting: str = "default"  # a constant of the recipe, such as TINY (recipes config NAME lists them)
    config: Path | None = None  # JSON file of settings: a run's config.json or a search's best.json


@dataclass(frozen=True)
class Fit(Start):
    """Train a recipe and evaluate it on the test split."""

    data: Path | None = None  # your own instead: a folder with a sub-folder per class, or a text file; see the recipe
    runs: Path = Path("runs")  # the run folder is <runs>/<recipe>/<id>
    resume: bool = True  # resume the unfinished run of the same settings and data, where there is one


@dataclass(frozen=True)
class Tune(Start):
    """Search the recipe's space for the settings that do best on validation data."""

    data: Path | None = None  # your own instead: a folder with a sub-folder per class, or a text file; see the recipe
    runs: Path = Path("runs")  # the search is kept in <runs>/<recipe>/tune-<id>
    trials: int = 20  # how many settings to try


@dataclass(frozen=True)
class Model:
    """Which trained model."""

    run: Path | None = None  # a run's folder or id; default: the newest finished run
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Evaluate(Model):
    """Print the figures on the test split of what the model was trained on."""

    data: Path | None = None  # your own to evaluate on instead: a folder with a sub-folder per class, or a text file


@dataclass(frozen=True)
class Export(Model):
    """Write a SavedModel that takes encoded images, or strings, after checking its answers."""

    path: Path = Path("saved_models")  # the model goes to <path>/<recipe>/<version>


@dataclass(frozen=True)
class Predict(Model):
    """Print what the model answers to each input: its label and probability, caption, translation, text or code.

    Inputs are image files and folders of them or, of a recipe that reads texts, texts and .txt files. One
    that cannot be read gets a message, the others their predictions, and the exit status is 1. Of a caption also a
    picture of where its words look: photo-attention.png in this folder; of a second photo.jpg, photo-attention-2.png.
    """

    inputs: tyro.conf.Positional[tuple[str, ...]] = ()  # files or texts
    json: bool = False  # a JSON object for each input, a line each, with everything that is known of it
    csv: Path | None = None  # also write the predictions to a CSV file
    beam_width: int | None = None  # of captions and translations: how many are followed up at a time
    length_penalty: float | None = None  # of captions and translations: 0 favours short ones


@dataclass(frozen=True)
class Generate(Model):
    """Print a text that a language model continues, as it is made."""

    prompt: tyro.conf.Positional[str] = "\n"  # what it begins with
    length: int = 500  # how many characters to add
    temperature: float = 0.8  # below 1 the likely gets likelier; 0: always the likeliest
    top_k: int = 0  # only the k likeliest may come; 0: all
    top_p: float = 1.0  # only the likeliest that together have this probability may come; 1: all
    seed: int = 0  # the same seed, the same text


@dataclass(frozen=True)
class Translate(Model):
    """Print the translations of sentences, or of each line of the standard input."""

    texts: tyro.conf.Positional[tuple[str, ...]] = ()  # sentences; none: lines of the standard input
    beam_width: int = 4  # translations that are followed up at a time; 1: greedy search
    length_penalty: float = 0.6  # 0: none, which favours short translations


@dataclass(frozen=True)
class Neighbours(Model):
    """Print the words whose vectors are nearest to a word's, with the cosine of the angle."""

    word: tyro.conf.Positional[str] = ""  # one that is known
    count: int = 10  # how many


@dataclass(frozen=True)
class Show(Start):
    """Print every setting with its value and meaning."""

    json: bool = False  # print JSON, for --config, instead


def fit(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Trains."""
    options, settings = _with_settings(Fit, recipe, prog, arguments)
    recipe.fit(settings, options.data, runs=options.runs, resume=options.resume)
    return 0


def evaluate(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Prints the test figures."""
    options = tyro.cli(Evaluate, args=arguments, prog=prog)
    model = _load(recipe, options)
    figures = recipe.evaluate(model, options.data, runs=options.runs)
    print("  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    return 0


def tune(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Searches."""
    options, settings = _with_settings(Tune, recipe, prog, arguments)
    recipe.tune(settings, options.data, trials=options.trials, runs=options.runs)
    return 0


def export(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Exports."""
    options = tyro.cli(Export, args=arguments, prog=prog)
    recipe.export(options.run, path=options.path, runs=options.runs)
    return 0


def predict(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Prints predictions; an input that cannot be read gets a message, the others theirs, and the status is 1."""
    options = tyro.cli(Predict, args=arguments, prog=prog)
    if not options.inputs:
        raise DataError("predict got no inputs; expected names of image files, or texts or names of text files")
    how = {name: value for name in ("beam_width", "length_penalty") if (value := getattr(options, name)) is not None}
    from recipes.runs.atomic_files import save_picture

    page: Recipe = recipe.fit.__self__
    check_options(page, how)
    model = _load(recipe, options)
    inputs = [Path(text) if text.endswith(".txt") else text for text in options.inputs]
    rows, failed, drawn = [], 0, Counter[str]()  # pictures by the name of their photograph
    for name, answer in page.kind.predict(model, inputs, **how):
        if isinstance(answer, DataError):
            print(f"recipes: {answer}", file=sys.stderr)
            failed += 1
            continue
        rows.append({"input": name, **answer})
        if hasattr(page.kind, "draw_answer"):  # a captioner's attention
            stem = Path(name).stem
            drawn[stem] += 1
            path = Path(f"{stem}-attention{f'-{drawn[stem]}' if drawn[stem] > 1 else ''}.png")
            save_picture(page.kind.draw_answer(model, name, answer), path)
            rows[-1]["picture"] = str(path)
        print(json.dumps(_plain(rows[-1]), ensure_ascii=False) if options.json else _in_short(rows[-1]), flush=True)
    if options.csv:
        _write_csv(rows, options.csv)
    return 1 if failed else 0


def generate(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Writes text as it is made."""
    options = tyro.cli(Generate, args=arguments, prog=prog)
    model = _load(recipe, options, "generate")
    how = (options.length, options.temperature, options.top_k, options.top_p, options.seed)
    for part in recipe.generate(options.prompt, *how, model=model):
        print(part, end="", flush=True)
    print()
    return 0


def translate(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Translates sentences."""
    options = tyro.cli(Translate, args=arguments, prog=prog)
    model = _load(recipe, options, "translate")
    texts = list(options.texts) or [line.rstrip("\n") for line in sys.stdin]
    for text in recipe.translate(texts, options.beam_width, options.length_penalty, model=model):
        print(text)
    return 0


def neighbours(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Shows the words that are near a word."""
    options = tyro.cli(Neighbours, args=arguments, prog=prog)
    model = _load(recipe, options, "neighbours")
    for word, cosine in recipe.neighbours(options.word, options.count, model=model):
        print(f"{word}\t{cosine:.4f}")
    return 0


def config(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Prints the settings."""
    options, settings = _with_settings(Show, recipe, prog, arguments)
    values = asdict(settings)
    if options.json:
        print(json.dumps(values, indent=2))
        return 0
    print(f"# settings to start from (--setting): {', '.join(['default', *presets(recipe)])}")
    explained = meanings(recipe.Config)
    left = {name: f"{name} = {value!r}" for name, value in values.items()}
    width = max(map(len, left.values()))
    print("\n".join(f"{left[name]:<{width}}  # {explained[name]}" for name in left))
    return 0


# ---------------------------------------------------------------- helpers


def presets(recipe: ModuleType) -> dict[str, Any]:
    """Returns the recipe's settings that are module constants: name -> Config."""
    return {name: value for name, value in vars(recipe).items() if isinstance(value, recipe.Config)}


def _load(recipe: ModuleType, options: Model, verb: str = "fit") -> Any:
    """Returns a run's model, and notes a stand-in; refuses a recipe that does not have the verb."""
    if not hasattr(recipe, verb):
        raise ConfigError(f"{recipe.__name__.rpartition('.')[2]} has no {verb!r}; recipes list tells what each does")
    model = recipe.load(options.run, runs=options.runs)
    if (info := model.run.info).stand_in_for:
        print(f"note: trained on the stand-in {info.name!r}, not on {info.stand_in_for}", file=sys.stderr)
    return model


def _in_short(row: dict[str, Any]) -> str:
    """Returns a prediction on one line: the input, then its texts and numbers, with tabs between."""
    values = [value for name, value in row.items() if isinstance(value, (str, int, float))]
    return "\t".join(f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split()) for value in values)


def _plain(value: Any) -> Any:
    """Returns a prediction as JSON can hold it: arrays as lists, PNG bytes and the like left out."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if not isinstance(item, bytes)}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes predictions as CSV, in one step: a column for each text and number, and one for each class."""
    from recipes.runs.atomic_files import write_atomically

    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(flat)

    try:
        write_atomically(path, write)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a prediction with its probabilities as columns of their own, and without arrays and lists."""
    columns: Iterable[tuple[str, Any]] = row.items()
    probabilities = {f"p({label})": value for label, value in row.get("probabilities", {}).items()}
    return {name: value for name, value in columns if isinstance(value, (str, int, float))} | probabilities


def _with_settings(options: type, recipe: ModuleType, prog: str, arguments: list[str]) -> tuple[Any, Any]:
    """Returns (the options of a command, the recipe's Config), read from the command line together."""
    start, _ = tyro.cli(Start, args=[a for a in arguments if a not in ("-h", "--help")], return_unknown_args=True)
    settings = {"default": recipe.Config(), **presets(recipe)}
    if start.setting not in settings:
        near = did_you_mean(start.setting, settings)
        raise UsageError(f"unknown --setting {start.setting!r}{near}. Settings: {', '.join(settings)}")
    default = read_config(recipe.Config, start.config) if start.config else settings[start.setting]
    asked = _asked_for(recipe)
    both = make_dataclass(
        options.__name__,
        [
            ("command", options, field(default=options())),
            ("settings", asked, field(default=asked(**asdict(default)))),
        ],
    )
    read: Any = tyro.cli(
        both, args=arguments, prog=prog, description=options.__doc__, config=(tyro.conf.OmitArgPrefixes,)
    )
    return read.command, recipe.Config(**{name: getattr(read.settings, name) for name in asdict(default)})


def _asked_for(recipe: ModuleType) -> type:
    """Returns a dataclass of a recipe's settings with what they mean, for --help; nothing of it is checked."""
    hints, explained = get_type_hints(recipe.Config), meanings(recipe.Config)
    return make_dataclass(
        "settings",
        [
            (one.name, Annotated[hints[one.name], tyro.conf.arg(help=explained[one.name])], field(default=one.default))
            for one in fields(recipe.Config)
        ],
        frozen=True,
    )
