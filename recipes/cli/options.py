"""The options of the commands that take a recipe: the dataclasses here, and the fields of its own Config.

They are read before TensorFlow is loaded: `settings_page` has what it takes of a recipe.
"""

from dataclasses import asdict, dataclass, field, fields, make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from recipes.errors import UsageError, did_you_mean
from recipes.settings import meanings, read_config

Switch = tyro.conf.FlagCreatePairsOff[bool]  # --json, and no --no-json


@dataclass(frozen=True)
class Output:
    """What is printed."""

    quiet: Switch = False  # print errors and results alone
    json: Switch = False  # print results alone on the standard output, as JSON; all else goes to the standard error


@dataclass(frozen=True)
class Start:
    """Where the settings start from; any of them given as an option comes after."""

    setting: str = "default"  # a constant of the recipe, such as TINY (recipes config NAME lists them)
    config: Path | None = None  # JSON file of settings: a run's config.json or a search's best.json


@dataclass(frozen=True)
class Fit(Output, Start):
    """Train a recipe and evaluate it on the test split."""

    data: Path | None = None  # your own instead: a folder, a table (.csv, .tsv, .jsonl), a text file; see docs/data.md
    runs: Path = Path("runs")  # the run folder is <runs>/<recipe>/<id>
    resume: bool = True  # resume the unfinished run of the same settings and data, where there is one
    run: Path | None = None  # continue this unfinished run, by its id or folder, with its own settings and data


@dataclass(frozen=True)
class Tune(Output, Start):
    """Search the recipe's space for the settings that do best on validation data."""

    data: Path | None = None  # your own instead: a folder, a table (.csv, .tsv, .jsonl), a text file; see docs/data.md
    runs: Path = Path("runs")  # the search is kept in <runs>/<recipe>/tune-<id>
    trials: int = 20  # how many settings to try
    tuner: Literal["bayesian", "random", "hyperband", "optuna"] = "bayesian"  # who proposes them; see docs/tuning.md
    workers: int = 1  # how many trials are trained at a time, each on its share of the processors or GPUs
    objective: tuple[str, Literal["max", "min"]] | None = None  # which figure is to be best; None: the recipe's
    resume: bool = True  # continue the unfinished search of the same settings, data and space, where there is one
    search: Path | None = None  # continue this one, by its id or folder; refused where settings, data or space differ


@dataclass(frozen=True)
class FindLearningRate(Output, Start):
    """Train a new model with a rate that grows until the loss explodes; print and draw which rates to try."""

    data: Path | None = None  # your own instead: a folder with a sub-folder per class, or a text file; see the recipe
    runs: Path = Path("runs")  # the picture and its numbers go to <runs>/<recipe>/rate-<id>
    lowest: float = 1e-7  # the first rate
    highest: float = 10.0  # the last
    steps: int = 100  # updates, at most


@dataclass(frozen=True)
class Model:
    """Which trained model."""

    run: Path | None = None  # a run's folder or id; default: the newest finished run
    runs: Path = Path("runs")  # where run folders are


@dataclass(frozen=True)
class Evaluate(Output, Model):
    """Print the figures on the test split of what the model was trained on."""

    data: Path | None = None  # your own to evaluate on instead: a folder, a table (.csv, .tsv, .jsonl), or a text file
    text_column: str = ""  # of a table: its texts, where they are in another column than in training
    image_column: str = ""  # likewise: paths of its images
    label_column: str = ""  # likewise: its labels
    source_column: str = ""  # likewise: what is translated
    target_column: str = ""  # likewise: its translations
    caption_column: str = ""  # likewise: captions of its images


@dataclass(frozen=True)
class Calibrate(Output, Model):
    """Divide a classifier's logits by the temperature that fits the validation data best; its run keeps it."""

    data: Path | None = None  # what the model was trained on, where its folder or file is elsewhere now


@dataclass(frozen=True)
class Ensemble(Output):
    """Make one model of several runs of a classifier, whose probabilities are the mean of theirs."""

    members: tyro.conf.Positional[tuple[Path, ...]] = ()  # folders or ids of runs, two or more
    runs: Path = Path("runs")  # where run folders are; the new one is <runs>/<recipe>/ensemble-<id>
    data: Path | None = None  # what they were trained on, where its folder or file is elsewhere now


@dataclass(frozen=True)
class Export(Output, Model):
    """Write a SavedModel that takes encoded images, or strings, after checking its answers; or LiteRT, or ONNX."""

    path: Path = Path("saved_models")  # to <path>/<recipe>/<version>; LiteRT and ONNX to <path>/<recipe>/litert/...
    format: Literal["saved_model", "litert", "onnx"] = "saved_model"  # LiteRT and ONNX take tensors
    int8: Switch = False  # of LiteRT: whole numbers of 8 bits; smaller, and its accuracy is measured
    freeze: Switch = False  # of a SavedModel: weights are constants; faster on a CPU, and larger
    data: Path | None = None  # with --int8: what the model was trained on, where its folder or file is elsewhere now


@dataclass(frozen=True)
class Predict(Model):
    """Print what the model answers to each input: its label and probability, caption, translation, text or code.

    Inputs are image files (JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF), folders of them or, of a recipe that reads texts,
    texts and .txt files; or tables (.csv, .tsv, .jsonl) with a column of images or texts. One that cannot be read
    gets a message, the others their predictions, and the exit status is 1. Of a caption also a picture of where its
    words look: photo-attention.png in this folder; of a second photo.jpg, photo-attention-2.png. With --url a server
    is asked, 'recipes serve' or TensorFlow Serving: what its model takes may also be numbers, and NAME need not be a
    recipe.
    """

    inputs: tyro.conf.Positional[tuple[str, ...]] = ()  # files, folders of images, texts, or tables
    json: Switch = False  # a JSON object for each input, a line each, with everything that is known of it
    csv: Path | None = None  # also write the predictions to a CSV file
    beam_width: int | None = None  # of captions and translations: how many are followed up at a time
    length_penalty: float | None = None  # of captions and translations: 0 favours short ones
    min_probability: float | None = None  # of classes: no label where that of the likeliest is below
    samples: int | None = None  # the mean and the spread of so many answers with dropout, 2 or more
    url: str | None = None  # of a server to ask instead of a run, such as http://127.0.0.1:8501; NAME is its model's
    token_file: Path | None = None  # the server's bearer token; default: the environment variable RECIPES_TOKEN
    ca_certificate: Path | None = None  # PEM file of who signed the server's certificate; default: the system's


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
class Among(Model):
    """What both commands that look for photographs take besides."""

    count: int = 5  # how many
    picture: Path | None = None  # also write a PNG file with the photographs that are found


@dataclass(frozen=True)
class Search(Among):
    """Print the photographs that a text says most of, with the cosine of the angle, the best first."""

    text: tyro.conf.Positional[str] = ""  # what is looked for
    photos: tyro.conf.Positional[tuple[str, ...]] = ()  # among which: files, and folders of them


@dataclass(frozen=True)
class Similar(Among):
    """Print the photographs that are most like one, with the cosine of the angle, the best first."""

    photo: tyro.conf.Positional[str] = ""  # a file
    photos: tyro.conf.Positional[tuple[str, ...]] = ()  # among which: files, and folders of them


@dataclass(frozen=True)
class Show(Start):
    """Print every setting with its value and meaning."""

    json: Switch = False  # print JSON, for --config, instead


#: Verb -> its options; of those that train or search, the recipe's settings besides.
OPTIONS = {
    "fit": Fit,
    "evaluate": Evaluate,
    "tune": Tune,
    "find-learning-rate": FindLearningRate,
    "calibrate": Calibrate,
    "ensemble": Ensemble,
    "export": Export,
    "predict": Predict,
    "generate": Generate,
    "translate": Translate,
    "neighbours": Neighbours,
    "search": Search,
    "similar": Similar,
    "config": Show,
}
WITH_SETTINGS = ("fit", "tune", "find-learning-rate", "config")


def read_options(verb: str, name: str, page: ModuleType | None, arguments: list[str]) -> tuple[Any, dict[str, Any]]:
    """Returns (the options of a verb, the recipe's settings by name), read from the command line together.

    Args:
        verb: The command.
        name: Of the recipe, as it was typed.
        page: With the recipe's Config and the settings to start from; verbs without settings need none.
        arguments: What follows the name.

    Raises:
        UsageError: For an unknown --setting, or nothing to predict.
        SystemExit: With 0 after --help, and 2 for unknown or ill-typed options, said on the standard error.
    """
    options, prog = OPTIONS[verb], f"recipes {verb} {name}"
    if verb not in WITH_SETTINGS:
        given: Any = tyro.cli(options, args=arguments, prog=prog)
        if isinstance(given, Predict) and not given.inputs:
            raise UsageError("predict got no inputs; expected names of image files, or texts or names of text files")
        if isinstance(given, (Search, Similar)) and not given.photos:
            raise UsageError(f"{verb} got no photographs to look among; expected files or folders after the first")
        return given, {}
    assert page is not None
    start, _ = tyro.cli(Start, args=[a for a in arguments if a not in ("-h", "--help")], return_unknown_args=True)
    settings = {"default": page.Config(), **presets(page)}
    if start.setting not in settings:
        near = did_you_mean(start.setting, settings)
        raise UsageError(f"unknown --setting {start.setting!r}{near}. Settings: {', '.join(settings)}")
    default = read_config(page.Config, start.config) if start.config else settings[start.setting]
    asked = _asked_for(page.Config)
    titled = {
        "command": Annotated[options, tyro.conf.arg(name=verb, help="Of the command.")],  # "fit options"
        # "mnist-dense options"
        "settings": Annotated[asked, tyro.conf.arg(name=Path(name).stem, help="The recipe's own settings.")],
    }
    defaults = {"command": options(), "settings": asked(**asdict(default))}
    both = make_dataclass(verb, [(part, titled[part], field(default=defaults[part])) for part in titled])
    read: Any = tyro.cli(
        both, args=arguments, prog=prog, description=options.__doc__, config=(tyro.conf.OmitArgPrefixes,)
    )
    return read.command, {name: getattr(read.settings, name) for name in asdict(default)}


def presets(page: ModuleType) -> dict[str, Any]:
    """Returns the recipe's settings that are module constants: name -> Config."""
    return {name: value for name, value in vars(page).items() if isinstance(value, page.Config)}


def _asked_for(config_class: Any) -> type:
    """Returns a dataclass of a recipe's settings with what they mean, for --help; nothing of it is checked."""
    hints, explained = get_type_hints(config_class), meanings(config_class)
    return make_dataclass(
        "settings",
        [
            (one.name, Annotated[hints[one.name], tyro.conf.arg(help=explained[one.name])], field(default=one.default))
            for one in fields(config_class)
        ],
        frozen=True,
    )
