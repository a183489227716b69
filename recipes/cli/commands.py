"""The commands that take a recipe, once their options are read."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import recipes
from recipes import RECIPES
from recipes.cli.options import (
    Calibrate,
    Ensemble,
    Evaluate,
    Export,
    FindLearningRate,
    Fit,
    Generate,
    Model,
    Neighbours,
    Predict,
    Search,
    Show,
    Similar,
    Translate,
    Tune,
    presets,
)
from recipes.cli.output import messages_kept_apart, print_json
from recipes.cli.settings_page import settings_page
from recipes.data.table_files import ENDINGS, ending_of
from recipes.errors import DataError, UsageError, one_line, printable
from recipes.settings import meanings

Answers = Iterator[tuple[str, dict[str, Any] | DataError]]  # to predict, with the names of inputs


def fit(recipe: ModuleType, options: Fit, settings: dict[str, Any]) -> int:
    """Trains."""
    config = recipe.Config(**settings)
    if options.run is not None and (config != recipe.Config() or options.setting != "default" or options.config):
        raise UsageError(f"--run {options.run} continues a run with its own settings; leave out all others")
    if options.run is not None and not options.resume:
        raise UsageError(f"--run {options.run} continues a run, and --no-resume starts one; leave out either")
    with messages_kept_apart(options.quiet, options.json):
        if options.run is not None:
            model = recipe.fit(None, options.data, runs=options.runs, resume=options.run)
        else:
            model = recipe.fit(config, options.data, runs=options.runs, resume=options.resume)
    run = model.run
    if options.json and run.writes:
        print_json({"run": run.folder, "recipe": run.recipe, **run.metrics})
    elif options.quiet and run.writes:
        figures = _figures_in_short(run.metrics["test"]) or "no test split"
        print(f"test on {one_line(run.info.name)}{run.info.stand_in_note}: {figures}")
    return 0


def evaluate(recipe: ModuleType, options: Evaluate, settings: dict[str, Any]) -> int:
    """Prints the test figures."""
    model = _load(recipe, options)
    named = {name: value for name, value in vars(options).items() if name.endswith("_column") and value}
    with messages_kept_apart(options.quiet, options.json):
        figures = recipe.evaluate(model, options.data, runs=options.runs, **named)
    if options.json:
        data = str(options.data) if options.data else model.run.info.name
        stand_in_for = "" if options.data else model.run.info.stand_in_for
        print_json({"run": model.run.folder, "data": data, "stand_in_for": stand_in_for, "test": figures})
    else:
        print(_figures_in_short(figures))
    return 0


def tune(recipe: ModuleType, options: Tune, settings: dict[str, Any]) -> int:
    """Searches."""
    if options.search is not None and not options.resume:
        raise UsageError(f"--search {options.search} continues a search, and --no-resume starts one; leave out either")
    how = {name: getattr(options, name) for name in ("trials", "tuner", "workers", "objective", "runs")}
    with messages_kept_apart(options.quiet, options.json):
        best = recipe.tune(recipe.Config(**settings), options.data, resume=options.search or options.resume, **how)
    config, figure = best
    if options.json:
        print_json({"objective": best.objective, "figure": figure, "config": asdict(config), "search": best.folder})
    elif options.quiet:
        print(f"best {best.objective} {figure:.4f}")
    return 0


def find_learning_rate(recipe: ModuleType, options: FindLearningRate, settings: dict[str, Any]) -> int:
    """Tests a range of rates."""
    where = {"lowest": options.lowest, "highest": options.highest, "steps": options.steps, "runs": options.runs}
    with messages_kept_apart(options.quiet, options.json):
        rates = recipe.find_learning_rate(recipe.Config(**settings), options.data, **where)
    if options.json:
        print_json(rates._asdict())
    elif options.quiet:
        print(f"steepest {rates.steepest:.2g}  tenth {rates.tenth:.2g}")
    return 0


def calibrate(recipe: ModuleType, options: Calibrate, settings: dict[str, Any]) -> int:
    """Calibrates."""
    model = _load(recipe, options, "calibrate")
    with messages_kept_apart(options.quiet, options.json):
        model = recipe.calibrate(model, options.data)
    calibration = model.run.metrics["calibration"]
    if options.json:
        print_json({"run": model.run.folder, **calibration})
    elif options.quiet:
        print(f"temperature {calibration['temperature']:.4f}")
    return 0


def ensemble(recipe: ModuleType, options: Ensemble, settings: dict[str, Any]) -> int:
    """Makes one model of several."""
    _refuse_without(recipe, "ensemble")
    with messages_kept_apart(options.quiet, options.json):
        model = recipe.ensemble(options.members, options.data, runs=options.runs)
    if options.json:
        print_json({"run": model.run.folder, "recipe": model.run.recipe, **model.run.metrics})
    elif options.quiet:
        print(_figures_in_short(model.run.metrics["test"]) or "no test split")
    return 0


def export(recipe: ModuleType, options: Export, settings: dict[str, Any]) -> int:
    """Exports."""
    with messages_kept_apart(options.quiet, options.json):
        how = {name: getattr(options, name) for name in ("path", "runs", "format", "int8", "freeze", "data")}
        path = recipe.export(options.run, **how)
    if options.json:
        print_json({"path": path})
    elif options.quiet:
        print(one_line(str(path)))
    return 0


def predict(recipe: ModuleType, options: Predict, settings: dict[str, Any]) -> int:
    """Prints predictions; an input that cannot be read gets a message, the others theirs, and the status is 1."""
    names = ("beam_width", "length_penalty", "min_probability", "samples")
    how = {name: value for name in names if (value := getattr(options, name)) is not None}
    from recipes.verbs.predict import check_options

    if options.token_file or options.ca_certificate:
        raise UsageError("--token-file and --ca-certificate are for a server, which --url names")
    page = recipe.fit.__self__
    check_options(page, how)
    model = _load(recipe, options)
    inputs = [one for text in options.inputs for one in _inputs_of(text, model.run.config)]
    answers = page.kind.predict(model, inputs, **how)
    if hasattr(page.kind, "draw_answer"):  # a captioner's attention, a detector's boxes
        draw = partial(page.kind.draw_answer, model)
        answers = _with_pictures(answers, page.kind.drawn, draw)
    return _print_answers(answers, options)


def predict_by_url(name: str, options: Predict) -> int:
    """Prints what a model on a server answers, as `predict` does."""
    from recipes.cli.predict_by_url import predict_by_url

    page = settings_page(Path(recipes.__file__).parent / f"{name}.py") if name in RECIPES else None
    config = None if page is None else page.Config()
    inputs = [one for text in options.inputs for one in _inputs_of(text, config)]
    return _print_answers(predict_by_url(name, options, inputs), options)


def _with_pictures(answers: Answers, drawn_thing: str, draw: Callable[[str, dict[str, Any]], Any]) -> Answers:
    """Yields answers with the "picture" of each, once it is written: of photo.jpg, photo-attention.png."""
    from recipes.runs.atomic_files import save_picture

    drawn = Counter[str]()  # by the name of their photograph
    for name, answer in answers:
        if not isinstance(answer, DataError):
            stem = Path(name).stem
            drawn[stem] += 1
            path = Path(f"{stem}-{drawn_thing}{f'-{drawn[stem]}' if drawn[stem] > 1 else ''}.png")
            save_picture(draw(name, answer), path)
            answer["picture"] = str(path)
        yield name, answer


def _print_answers(answers: Answers, options: Predict) -> int:
    """Prints what each input is answered, and writes all of it as CSV where it is asked for; 1 where one failed."""
    rows, failed = [], 0
    try:
        for name, answer in answers:
            if isinstance(answer, DataError):
                print(f"recipes: {answer}", file=sys.stderr)
                failed += 1
                continue
            rows.append({"input": name, **answer})
            if options.json:
                print_json(rows[-1], indent=None)
            else:
                print(_in_short(rows[-1]), flush=True)
    finally:  # what is answered is not lost where a server is
        if options.csv and (rows or sys.exception() is None):
            _write_csv(rows, options.csv)
    return 1 if failed else 0


def generate(recipe: ModuleType, options: Generate, settings: dict[str, Any]) -> int:
    """Writes text as it is made."""
    _refuse_other_than_text(options.prompt, "the prompt")
    model = _load(recipe, options, "generate")
    how = (options.length, options.temperature, options.top_k, options.top_p, options.seed)
    for part in recipe.generate(options.prompt, *how, model=model):
        print(printable(part), end="", flush=True)
    print()
    return 0


def translate(recipe: ModuleType, options: Translate, settings: dict[str, Any]) -> int:
    """Translates sentences; one that is no text gets a message and an empty line, and the status is 1."""
    model = _load(recipe, options, "translate")
    texts = list(options.texts) or [line.rstrip("\n") for line in sys.stdin]
    failed = 0
    for number, text in enumerate(texts):
        try:
            _refuse_other_than_text(text, f"text {number + 1}")
        except DataError as error:
            print(f"recipes: {error}", file=sys.stderr)
            texts[number] = ""
            failed += 1
    for text in recipe.translate(texts, options.beam_width, options.length_penalty, model=model):
        print(one_line(text))
    return 1 if failed else 0


def neighbours(recipe: ModuleType, options: Neighbours, settings: dict[str, Any]) -> int:
    """Shows the words that are near a word."""
    _refuse_other_than_text(options.word, "the word")
    model = _load(recipe, options, "neighbours")
    for word, cosine in recipe.neighbours(options.word, options.count, model=model):
        print(f"{one_line(word)}\t{cosine:.4f}")
    return 0


def search(recipe: ModuleType, options: Search, settings: dict[str, Any]) -> int:
    """Shows the photographs that a text says most of."""
    _refuse_other_than_text(options.text, "the text")
    model = _load(recipe, options, "search")
    return _print_photos(recipe.search(options.text, *_among(options), model=model))


def similar(recipe: ModuleType, options: Similar, settings: dict[str, Any]) -> int:
    """Shows the photographs that are most like one."""
    model = _load(recipe, options, "similar")
    return _print_photos(recipe.similar(options.photo, *_among(options), model=model))


def _among(options: Search | Similar) -> tuple[list[str], int, Path | None]:
    return list(options.photos), options.count, options.picture


def _print_photos(found: list[tuple[str, float]]) -> int:
    """Prints photographs with their cosines."""
    for name, cosine in found:
        print(f"{one_line(name)}\t{cosine:.4f}")
    return 0


def config(page: ModuleType, options: Show, settings: dict[str, Any]) -> int:
    """Prints the settings."""
    values = asdict(page.Config(**settings))
    if options.json:
        print(json.dumps(values, indent=2))
        return 0
    print(f"# settings to start from (--setting): {', '.join(['default', *presets(page)])}")
    explained = meanings(page.Config)
    left = {name: f"{name} = {value!r}" for name, value in values.items()}
    width = max(map(len, left.values()))
    print("\n".join(f"{left[name]:<{width}}  # {explained[name]}" for name in left))
    return 0


# ---------------------------------------------------------------- helpers


def _load(recipe: ModuleType, options: Model, verb: str = "fit") -> Any:
    """Returns a run's model, and notes a stand-in; refuses a recipe that does not have the verb."""
    _refuse_without(recipe, verb)
    model = recipe.load(options.run, runs=options.runs)
    if (info := model.run.info).stand_in_for:
        print(f"note: trained on the stand-in {info.name!r}, not on {info.stand_in_for}", file=sys.stderr)
    return model


def _refuse_without(recipe: ModuleType, verb: str) -> None:
    """Refuses a recipe that does not have the verb."""
    if not hasattr(recipe, verb):
        raise UsageError(f"{recipe.__name__.rpartition('.')[2]} has no {verb!r}; recipes list tells what each does")


def _inputs_of(argument: str, config: Any) -> list[Any]:
    """Returns what an argument of predict stands for: the rows of a table, a text file, or itself."""
    path = Path(argument)
    if ending_of(path) in ENDINGS and path.is_file():
        from recipes.data.own_data import inputs_of_table

        if config is None:
            raise DataError(f"{one_line(path)} is a table, and it is not known which column this model takes")
        return [str(one) if isinstance(one, Path) else one for one in inputs_of_table(path, config)]
    return [path if argument.endswith(".txt") else argument]


def _refuse_other_than_text(text: str, what: str) -> None:
    """Refuses an argument, or a line of the standard input, that was no UTF-8: Python keeps it as lone surrogates."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return
    raise DataError(f"{what} is {one_line(text)}, no text in UTF-8; convert it first, as iconv does")


def _figures_in_short(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in figures.items())


FEW = 20  # numbers of a list that are printed


def _in_short(row: dict[str, Any]) -> str:
    """Returns a prediction on one line: the input, then its labels, texts and numbers, and few of these, with tabs."""
    texts = []
    for value in _with_listed_labels(row).values():
        if isinstance(value, float):
            texts.append(f"{value:.4f}")
        elif isinstance(value, (str, int)):
            texts.append(printable(" ".join(str(value).split())))
        elif getattr(value, "ndim", 0) == 1 and len(value) <= FEW:
            texts.append(" ".join(f"{number:.6g}" for number in value))
    return "\t".join(texts)


def _with_listed_labels(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a prediction whose several labels are one text: "cat, dog"; "" for none. "-" is no label at all."""
    row = {**row, "label": "-"} if row.get("label", "") is None else row
    return {**row, "labels": ", ".join(row["labels"])} if "labels" in row else row


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes predictions as CSV, in one step: a column for each text and number, and one for each class."""
    from recipes.runs.atomic_files import write_csv

    flat = [_flat(row) for row in rows]
    try:
        write_csv(path, flat, dict.fromkeys(name for row in flat for name in row))
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a prediction with what it has by label as columns of their own, and without arrays and lists."""
    columns: Iterable[tuple[str, Any]] = _with_listed_labels(row).items()
    by_label = {
        f"{letter}({label})": value
        for letter, name in (("p", "probabilities"), ("spread", "spread"), ("count", "counts"))
        if isinstance(row.get(name), dict)
        for label, value in row[name].items()
    }
    return {name: value for name, value in columns if isinstance(value, (str, int, float))} | by_label
