"""Completion, asked of a real shell; and settings, which it has without TensorFlow."""

import importlib
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import recipes
from recipes.cli import main
from recipes.cli.options import presets
from recipes.cli.settings_page import settings_page
from recipes.settings import comments

ROOT = Path(__file__).parents[2]


def complete(words, capsys, shell="bash"):
    """Returns what the shell offers for the last of the words."""
    assert main(["completion", shell]) == 0
    program = (
        capsys.readouterr().out
        + f"""
COMP_WORDS=({" ".join(f"'{word}'" for word in ["recipes", *words])})
COMP_CWORD={len(words)}
_recipes
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    )
    done = subprocess.run([shell, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["ev"], ["evaluate"]),
        (["fit", "mnist_d"], ["mnist_dense"]),
        (["fit", "mnist_dense", "--ep"], ["--epochs"]),
        (["fit", "mnist_dense", "--no-"], ["--no-resume", "--no-deterministic", "--no-constant-rate"]),
        (["fit", "mnist_dense", "--setting", "L"], ["LINEAR"]),
        (["evaluate", "mnist_dense", "--r"], ["--run", "--runs"]),
        (["evaluate", "mnist_dense", "--l"], ["--label-column"]),
        (["runs", ""], ["list", "compare", "delete"]),
        (["runs", "delete", "--y"], ["--yes"]),
        (["predict", "mnist_dense", "pho"], []),  # files, which the shell knows
    ],
)
def test_bash_completes(words, offers, capsys):
    assert complete(words, capsys) == offers


def test_other_shells_take_their_script(capsys):
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(name in script for name in recipes.RECIPES)
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_settings_read_without_the_model_are_those_of_the_recipe(name):
    page, recipe = settings_page(ROOT / "recipes" / f"{name}.py"), importlib.import_module(f"recipes.{name}")
    assert {name: asdict(config) for name, config in presets(page).items()} == {
        name: asdict(config) for name, config in presets(recipe).items()
    }
    assert asdict(page.Config()) == asdict(recipe.Config())
    assert comments(page.Config) == comments(recipe.Config)


def test_a_recipe_of_your_own_whose_settings_need_more_is_imported():
    Path("mine.py").write_text(
        "from numpy import pi\nfrom recipes.settings import Settings\nclass Config(Settings):\n    x: float = pi\n"
    )
    assert settings_page(Path("mine.py")) is None
    assert settings_page(Path("missing.py")) is None


def test_help_config_and_mistakes_load_no_tensorflow():
    program = "import sys, recipes.cli\n"
    for command in ("fit dcgan --help", "config dcgan", "fit dcgan --epochs 0", "predict dcgan", "completion zsh"):
        program += f"try:\n    recipes.cli.main({command.split()})\nexcept SystemExit:\n    pass\n"
    program += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT)
