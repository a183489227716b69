"""The command line: `recipes VERB NAME`. This page loads no TensorFlow; a verb that needs it does."""

import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from recipes import RECIPES, __version__
from recipes.cli.output import print_json, write_any_text
from recipes.errors import ConfigError, DataError, RecipeError, UsageError, did_you_mean
from recipes.runs.signals import ended_by_sigterm

#: Verb -> (what it takes, what it does)
VERBS = {
    "list": ("", "the recipes, one line each"),
    "fit": ("NAME", "train; every setting is an option (recipes fit NAME --help)"),
    "launch": ("--workers N fit NAME", "train with several workers on this machine"),
    "evaluate": ("NAME", "the newest run's figures on the test split"),
    "tune": ("NAME", "search the recipe's space for better settings"),
    "find-learning-rate": ("NAME", "a range test: the loss while the rate grows, and the rates to try"),
    "calibrate": ("NAME", "make the probabilities of the newest run's classifier what they say"),
    "ensemble": ("NAME RUN RUN...", "one model of several runs: of classifiers, the mean of their probabilities"),
    "export": ("NAME", "write a SavedModel for TensorFlow Serving"),
    "serve": ("[NAME...]", "serve exported models by REST and gRPC, with a page to try them (recipes serve --help)"),
    "predict": ("NAME INPUT...", "what a model answers to image files or folders of them, texts or text files"),
    "generate": ("NAME PROMPT", "let a language model continue a text"),
    "translate": ("NAME TEXT...", "translate sentences, or the lines of the standard input"),
    "neighbours": ("NAME WORD", "the words whose vectors are nearest to a word's"),
    "search": ("NAME TEXT PHOTO...", "the photographs that a text says most of, from files and folders"),
    "similar": ("NAME PHOTO PHOTO...", "the photographs that are most like the first, from files and folders"),
    "runs": ("[list|compare|delete] ...", "the runs there are; compare or delete some (recipes runs --help)"),
    "config": ("NAME", "print every setting with its meaning"),
    "copy": ("NAME FILE.py", "copy a recipe to a file of your own"),
    "doctor": ("", "what is installed, what would be used, which data is at hand"),
    "completion": ("bash|zsh|fish", "a script for your shell that completes verbs, recipes and settings"),
}


#: Verbs that read their own options: each a function in a module of its name.
OWN_HELP = ("launch", "runs", "serve", "completion")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0; 1 for an error in data, in a run or in training; 2 for bad usage, wrong settings included; 130 for Ctrl-C. A run
    that SIGTERM ends saves itself and exits with 75.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    write_any_text()
    try:
        with ended_by_sigterm("nothing is left half written; run the same command again"):
            status = _run(arguments)
        sys.stdout.flush()  # here, where a reader that is gone ends it quietly
        return status
    except RecipeError as error:
        print(f"recipes: {error}", file=sys.stderr)
        return 2 if isinstance(error, (ConfigError, UsageError)) else 1
    except KeyboardInterrupt:
        print("recipes: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `recipes list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"recipes {__version__}")
        return 0
    verb, *rest = arguments
    verb = verb.replace("_", "-")  # as it is in Python
    if verb not in VERBS:
        raise UsageError(f"unknown command {verb!r}{did_you_mean(verb, VERBS)}. Commands: {', '.join(VERBS)}")
    if verb in OWN_HELP:
        return getattr(importlib.import_module(f"recipes.cli.{verb}"), verb)(rest)
    takes, does = VERBS[verb]
    if rest and rest[0] in ("-h", "--help"):
        about = f"\n\nrecipes: {', '.join(RECIPES)}" if takes else ""
        takes = takes or "[--json]"
        print(f"usage: {' '.join(filter(None, ['recipes', verb, takes, '[--help]']))}\n\n{does}{about}")
        return 0
    if not takes:
        if rest not in ([], ["--json"]):
            near = did_you_mean(rest[0], ["--json", "--help"])
            raise UsageError(f"{verb} takes --json and no other arguments; got {' '.join(rest)}{near}")
        return _doctor(as_json=bool(rest)) if verb == "doctor" else _list(as_json=bool(rest))
    if not rest or rest[0].startswith("-"):
        raise UsageError(f"{verb} needs the name of a recipe: {', '.join(RECIPES)}")
    name, *options = rest
    is_elsewhere = verb == "predict" and any(one.partition("=")[0] == "--url" for one in options)
    if name not in RECIPES and not name.endswith(".py") and not is_elsewhere:
        raise UsageError(f"unknown recipe {name!r}{did_you_mean(name, RECIPES)}. Recipes: {', '.join(RECIPES)}")
    if verb == "copy":
        from recipes.cli.copy_recipe import copy_recipe

        return copy_recipe(name, options)
    return _run_with_recipe(verb, name, options)


def _run_with_recipe(verb: str, name: str, arguments: list[str]) -> int:
    """Reads the options before TensorFlow is loaded, so that help and mistakes are answered at once."""
    from recipes.cli.options import WITH_SETTINGS, read_options
    from recipes.cli.settings_page import settings_page

    recipe: ModuleType | None = None
    page = settings_page(_file_of(name)) if verb in WITH_SETTINGS else None
    if page is None and verb in WITH_SETTINGS:  # its settings need what the recipe itself imports
        _load_tensorflow()
        page = recipe = _recipe(name)
    options, settings = read_options(verb, name, page, arguments)
    if page is not None:
        page.Config(**settings)  # refuses what is out of range
    from recipes.cli import commands

    if verb == "config":
        assert page is not None
        return commands.config(page, options, settings)
    if verb == "predict" and options.url is not None:
        return commands.predict_by_url(name, options)
    if recipe is None:
        _load_tensorflow()
        recipe = _recipe(name)
    return getattr(commands, verb.replace("-", "_"))(recipe, options, settings)


def _list(as_json: bool) -> int:
    if as_json:
        print_json([{"name": name, "description": line} for name, line in RECIPES.items()])
    else:
        width = max(map(len, RECIPES))
        print("\n".join(f"{name:<{width}}  {line}" for name, line in RECIPES.items()))
    return 0


def _doctor(as_json: bool) -> int:
    _load_tensorflow()
    from recipes.cli.doctor import doctor

    return doctor(as_json)


def _load_tensorflow() -> None:
    """Imports TensorFlow without its remarks about itself, which no setting of its own keeps back; errors are shown."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors come as exceptions; set it to see the rest
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise RecipeError(f"KERAS_BACKEND is {backend!r}; expected 'tensorflow'. Unset it, or set it to that")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as remarks:
        os.dup2(remarks.fileno(), 2)  # the remarks come from C++, below Python's sys.stderr
        try:
            import keras
            import tensorflow

            tensorflow.config.list_physical_devices()  # where CUDA says that there is none
        except ModuleNotFoundError as error:
            raise RecipeError(f"{error}; expected keras and tensorflow, as pip install puts them in") from None
        except BaseException:
            remarks.seek(0)
            os.write(terminal, remarks.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
    if keras.backend.backend() != "tensorflow":
        raise RecipeError(
            f"Keras runs on {keras.backend.backend()!r} here; expected 'tensorflow'. Set KERAS_BACKEND=tensorflow, or "
            "change 'backend' in ~/.keras/keras.json"
        )


def _file_of(name: str) -> Path:
    return Path(__file__).parent.parent / f"{name}.py" if name in RECIPES else Path(name)


def _recipe(name: str) -> ModuleType:
    """Returns a recipe's module: one of the package's, or a file of your own."""
    if name in RECIPES:
        return importlib.import_module(f"recipes.{name}")
    from recipes.verbs.page import load_file

    path = _file_of(name)
    module = load_file(path.stem, path)
    if module is None:
        raise DataError(f"there is no recipe file {name}; recipes copy NAME {name} makes one")
    if not hasattr(module, "Config") or not hasattr(module, "fit"):
        raise DataError(f"{name} is no recipe: it has no Config or no fit")
    return module


def _help() -> str:
    width = max(len(f"{verb} {takes}") for verb, (takes, _) in VERBS.items())
    lines = [f"  recipes {f'{verb} {takes}':<{width}}  {does}" for verb, (takes, does) in VERBS.items()]
    return "\n".join(
        [
            "Deep-learning recipes in TensorFlow and Keras: one line to a trained, tuned and served model.",
            "",
            *lines,
            "",
            "NAME is a recipe (recipes list) or the path of a recipe file of your own (recipes copy).",
            "recipes VERB NAME --help lists the options of a verb.",
        ]
    )
