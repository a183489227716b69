"""The verbs that take a recipe. Their options are the fields of the recipe's own Config, and the dataclasses here."""

import json
import sys
from dataclasses import asdict, dataclass, field, make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import tyro

from recipes.cli.captions import caption_files
from recipes.errors import ConfigError, DataError, did_you_mean
from recipes.kinds.predict import classify_files, label_texts
from recipes.settings import comments, read_config
from recipes.verbs.load import trained


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
    resume: bool = True  # continue the unfinished run of the same settings and data, where there is one


@dataclass(frozen=True)
class Tune(Start):
    """Search the recipe's space for the settings that do best on validation data."""

    data: Path | None = None  # your own instead: a folder with a sub-folder per class, or a text file; see the recipe
    runs: Path = Path("runs")  # the search is kept in <runs>/<recipe>/tune-<id>
    trials: int = 20  # how many settings to try


@dataclass(frozen=True)
class Evaluate:
    """Print the figures on the test split of what the model was trained on."""

    run: Path | None = None  # a run's folder; default: the newest finished run
    data: Path | None = None  # your own to evaluate on instead: a folder with a sub-folder per class, or a text file
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Export:
    """Write a SavedModel that takes encoded images, or strings, after checking its answers."""

    run: Path | None = None  # a run's folder; default: the newest finished run
    path: Path = Path("saved_models")  # the model goes to <path>/<recipe>/<version>
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Predict:
    """Print the label and probability of image files (JPEG, PNG or GIF of any size), text files, or texts.

    Of a recipe that describes images, the caption, and where each word looked as a picture: PHOTO-attention.png.
    """

    inputs: tyro.conf.Positional[tuple[str, ...]]  # files; for a recipe that reads texts, also the texts themselves
    run: Path | None = None  # a run's folder; default: the newest finished run
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Generate:
    """Print a text that a language model goes on with, as it is made."""

    prompt: tyro.conf.Positional[str] = "\n"  # what it begins with
    length: int = 500  # how many characters to add
    temperature: float = 0.8  # below 1 the likely gets likelier; 0: always the likeliest
    top_k: int = 0  # only the k likeliest may come; 0: all
    top_p: float = 1.0  # only the likeliest that together have this probability may come; 1: all
    seed: int = 0  # the same seed, the same text
    run: Path | None = None  # a run's folder; default: the newest finished run
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Translate:
    """Print the translations of sentences, or of each line of the standard input."""

    texts: tyro.conf.Positional[tuple[str, ...]] = ()  # sentences; none: lines of the standard input
    beam_width: int = 4  # translations that are followed up at a time; 1: greedy search
    length_penalty: float = 0.6  # 0: none, which favours short translations
    run: Path | None = None  # a run's folder; default: the newest finished run
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Neighbours:
    """Print the words whose vectors are nearest to a word's, with the cosine of the angle."""

    word: tyro.conf.Positional[str]  # one that is known
    count: int = 10  # how many
    run: Path | None = None  # a run's folder; default: the newest finished run
    runs: Path = Path("runs")  # where run folders are


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
    model = trained(recipe.Config, options.run, options.runs)
    _note_stand_in(model)
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
    """Labels files or texts; one that cannot be read gets a message, the others their labels, and the status is 1."""
    options = tyro.cli(Predict, args=arguments, prog=prog)
    if not options.inputs:
        raise DataError("predict got no inputs; expected names of image files, or texts or names of text files")
    model = trained(recipe.Config, options.run, options.runs)
    _note_stand_in(model)
    if hasattr(recipe, "caption"):
        answers = caption_files(recipe, model, options.inputs)
    else:
        classify = label_texts if model.run.info.tokenizer else classify_files
        answers = classify(model, options.inputs, model.run.info.label_names)
    failed = 0
    for shown, answer in answers:
        if isinstance(answer, DataError):
            print(f"recipes: {answer}", file=sys.stderr)
            failed += 1
        else:
            found = answer["caption"] if "caption" in answer else answer["label"]
            print(shown, found, answer.get("picture") or f"{answer['probability']:.4f}", sep="\t")
    return 1 if failed else 0


def generate(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Writes text as it is made."""
    options = tyro.cli(Generate, args=arguments, prog=prog)
    model = _model_that_can("generate", recipe, options)
    how = (options.length, options.temperature, options.top_k, options.top_p, options.seed)
    for part in recipe.generate(options.prompt, *how, model=model):
        print(part, end="", flush=True)
    print()
    return 0


def translate(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Translates sentences."""
    options = tyro.cli(Translate, args=arguments, prog=prog)
    model = _model_that_can("translate", recipe, options)
    texts = list(options.texts) or [line.rstrip("\n") for line in sys.stdin]
    for text in recipe.translate(texts, options.beam_width, options.length_penalty, model=model):
        print(text)
    return 0


def neighbours(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Shows the words that are near a word."""
    options = tyro.cli(Neighbours, args=arguments, prog=prog)
    model = _model_that_can("neighbours", recipe, options)
    for word, cosine in recipe.neighbours(options.word, options.count, model):
        print(f"{word}\t{cosine:.4f}")
    return 0


def _model_that_can(verb: str, recipe: ModuleType, options: Any) -> Any:
    """Returns a run's model, refusing a recipe that does not have the verb."""
    if not hasattr(recipe, verb):
        raise ConfigError(f"{recipe.__name__.rpartition('.')[2]} has no {verb!r}; recipes list tells what each does")
    model = trained(recipe.Config, options.run, options.runs)
    _note_stand_in(model)
    return model


def config(recipe: ModuleType, prog: str, arguments: list[str]) -> int:
    """Prints the settings."""
    options, settings = _with_settings(Show, recipe, prog, arguments)
    values = asdict(settings)
    if options.json:
        print(json.dumps(values, indent=2))
        return 0
    print(f"# settings to start from (--setting): {', '.join(['default', *presets(recipe)])}")
    meanings = comments(recipe.Config)
    left = {name: f"{name} = {value!r}" for name, value in values.items()}
    width = max(map(len, left.values()))
    print("\n".join(f"{left[name]:<{width}}  # {meanings.get(name, '')}" for name in left))
    return 0


def _note_stand_in(model: Any) -> None:
    if (info := model.run.info).stand_in_for:
        print(f"note: trained on the stand-in {info.name!r}, not on {info.stand_in_for}", file=sys.stderr)


def presets(recipe: ModuleType) -> dict[str, Any]:
    """Returns the recipe's settings that are module constants: name -> Config."""
    return {name: value for name, value in vars(recipe).items() if isinstance(value, recipe.Config)}


def _with_settings(options: type, recipe: ModuleType, prog: str, arguments: list[str]) -> tuple[Any, Any]:
    """Returns (the options of a verb, the recipe's Config), read from the command line together."""
    start, _ = tyro.cli(Start, args=[a for a in arguments if a not in ("-h", "--help")], return_unknown_args=True)
    settings = {"default": recipe.Config(), **presets(recipe)}
    if start.setting not in settings:
        near = did_you_mean(start.setting, settings)
        raise ConfigError(f"unknown --setting {start.setting!r}{near}. Settings: {', '.join(settings)}")
    default = read_config(recipe.Config, start.config) if start.config else settings[start.setting]
    both = make_dataclass(
        options.__name__,
        [("of_the_verb", options, field(default=options())), ("settings", recipe.Config, field(default=default))],
    )
    read: Any = tyro.cli(
        both, args=arguments, prog=prog, description=options.__doc__, config=(tyro.conf.OmitArgPrefixes,)
    )
    return read.of_the_verb, read.settings
