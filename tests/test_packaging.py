"""The built wheel holds the package and nothing else, and works without the source tree."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import recipes

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that no build folder is left in the source tree."""
    import shutil

    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("recipes", "tests", "notebooks", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = target.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "recipes").rglob("*.py")} | {"recipes/py.typed"}
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "recipes" / "serving" / "page").iterdir()}
    assert set(names) == sources


def test_the_wheel_works_without_the_source_tree(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import recipes; "
        "from recipes.cli import main; print(recipes.__file__); sys.exit(main(['copy', 'mnist_dense', 'mine.py']))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert (tmp_path / "mine.py").read_text() == (ROOT / "recipes" / "mnist_dense.py").read_text()


def test_versions_agree():
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: recipes.__version__"
    assert f"## {recipes.__version__}" in (ROOT / "CHANGELOG.md").read_text()
