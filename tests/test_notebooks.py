"""Each notebook runs from top to bottom, as a student would run it, in a minute or two on stand-in data."""

import re
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

ALWAYS = ("mnist_dense", "word2vec")  # the others take their time: -m slow
NOTEBOOKS = [
    pytest.param(path, id=path.stem, marks=() if path.stem in ALWAYS else pytest.mark.slow)
    for path in sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))
]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebook_runs(path, tmp_path):
    notebook = jupytext.read(path)
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent", "paired"
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert re.search(rf"^from recipes import (\w+, )*{path.stem}$", source, re.MULTILINE)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown), "a picture"
    assert not [output for output in shown if output.get("name") == "stderr" and "warning" in output["text"].lower()]
