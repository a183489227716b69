"""Each notebook runs from top to bottom, as a student would run it, on stand-in or generated data; labs in seconds."""

import re
import runpy
import warnings
from pathlib import Path
from textwrap import dedent

import jupytext
import matplotlib.pyplot as plt
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
ALWAYS = ("mnist_dense",)  # the others take their time: -m slow
NOTEBOOKS = [
    pytest.param(path, id=path.stem, marks=() if path.stem in ALWAYS else pytest.mark.slow)
    for path in sorted(FOLDER.glob("*.py"))
]
LABS = sorted(FOLDER.glob("*/*.py"))

#: Lab -> what is true in its kernel when it has run: figures that were published or follow from mathematics, and which
#: of two comes out ahead. Runs on another machine differ in the last digits, so figures of training have a margin.
FIGURES = {
    "code_grid": """
        assert np.allclose(norm.cdf(quantiles), np.arange(1, 22) / 22) and picture.shape == (588, 588)
        assert of_codes > 0.6 and of_codes > of_components + 0.1
        """,
    "differentiation": """
        by_hand = 1 / 2 + 5, 2 - math.cos(5)
        assert np.allclose([forward, reverse, by_tape], by_hand, rtol=0, atol=1e-14) and by_accumulator == 5.5
        assert math.isclose(a.grad, -0.5 * 2**-1.5, rel_tol=1e-12) and max(errors) < 1e-14
        forwards, backwards = (np.array(computed[name]) for name in modes)
        assert np.all(forwards >= sizes * backwards * 0.5) and np.all(backwards < 6 * np.array(sizes))
        assert 1e-7 < steps[difference_errors.argmin()] < 1e-4
        """,
    "kim_cnn": """
        assert accuracy > 0.9 and loss < 0.3
        assert all(len(passage.split()) <= width for (width, _), found in passages.items() for passage in found)
        """,
    "line_from_scatter": """
        slopes, intercepts = ({name: row[i] for name, row in results.items()} for i in (1, 2))
        assert min(slopes.values()) > 0.9
        assert intercepts["with_coordinates"] > 0.95 and intercepts["convolution_and_pooling"] < 0.9
        """,
    "markov_chains": """
        assert abs(total - 1) < 1e-9 and contexts[0] == 1
        assert bits[0] > bits[1] > bits[2] > bits[3] and 2 < min(bits) < bits[8] and 2 < lstm_bits < bits[1]
        assert abs(lstm_bits - model.run.metrics["test"]["bits"]) < 0.15  # of all windows, by the recipe itself
        small = MarkovChain(1, np.array([[0, 1, 0, 1, 1]]))  # after 0 comes 1 twice, once 0 comes after 1, once 1
        of_zero = (2 + 2 / len(characters)) / (5 + 2), (3 + 2 / len(characters)) / (5 + 2)
        assert np.isclose(small.probability(0, []), of_zero[0]) and np.isclose(small.probability(1, []), of_zero[1])
        assert np.isclose(small.probability(1, [0]), (2 + of_zero[1]) / (2 + 1))
        """,
    "matrix_factorisation": """
        assert abs(optimum - 0.121912) < 2e-6  # as published; 0.1219108 of the matrix as it is printed
        assert abs(errors[-1] - optimum) < 1e-9
        assert all(optimum < one[-1] < 0.14 for one in stochastic)
        """,
    "morse_decoder": """
        assert morse("sos") == "... --- ..." and len(set(CODES.values())) == 26
        assert right.mean() > 0.8
        """,
    "optimisers": """
        ends = {name: f[-1] for name, f in values.items()}
        assert abs(ends["momentum"] - 1.90) < 0.01 and abs(ends["Adam"] - 31.17) < 0.01
        assert abs(ends["gradient descent"] - 17.05) < 0.01 and abs(ends["Adagrad"] - 47.80) < 0.01
        at_hundredth = int(np.argmin(np.abs(rates - 0.01)))  # the formulas in NumPy give what Keras gives
        assert all(abs(last_values(name)[at_hundredth] - end) < 0.02 for name, end in ends.items())
        """,
    "overfitting_width": """
        last = {name: curve[:, -1] for name, curve in curves.items()}
        assert all(curve[0, 0] > 1 and curve[-1, 0] < 0.01 for curve in last.values())  # training loss
        clean_loss, noisy_loss = (last[name][:, 1] for name in ("clean labels", "a fifth at random"))
        assert clean_loss[-1] < 1.3 * clean_loss.min()
        assert 4 < widths[noisy_loss.argmax()] < 64 and noisy_loss.max() > 1.4 * noisy_loss[-1]
        """,
    "double_descent": """
        assert 0.8 * n <= peak <= 1.2 * n
        assert measured[:, 1].max() > 5 * measured[sizes.index(first), 1] and first < 0.8 * n
        assert measured[-1, 1] < measured[sizes.index(first), 1]
        assert regularised[:, 1].max() < 0.1 * measured[:, 1].max()
        """,
    "linear_regions": """
        assert folded_regions == [2**depth for depth in depths]
        assert max(random_regions[0]) <= 65 and max(map(max, random_regions)) < 2**8
        """,
    "multiplicative_interactions": """
        assert by_hand == 32 and parameters == d * d + 2 * d + 1
        assert multiplied[0] < 1e-6 < 0.001 < min(error for error, _ in results.values())
        """,
    "universal_approximation": """
        ratios = np.divide(errors["constructed"][3:-1], errors["constructed"][4:])
        assert np.all(np.array(errors["constructed"]) <= bound) and np.all(abs(ratios - 4) < 0.2)
        """,
    "xor": """
        assert abs(linear_loss - np.log(2)) < 1e-4 and np.allclose(w, 0, atol=1e-2)
        assert by_hand(x).tolist() == [0, 1, 1, 0]
        assert all(shares[0] == 0 and 0 < shares[1] < 1 and shares[-1] > 0.99 for shares in solved.values())
        """,
}


def notebook_of(path):
    notebook = jupytext.read(path)
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent", "paired"
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebook_runs(path, tmp_path):
    """In a kernel of its own; asserts a picture, and that nothing warns."""
    notebook = notebook_of(path)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert re.search(rf"^from recipes import (\w+, )*{path.stem}$", source, re.MULTILINE)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown), "a picture"
    assert not [output for output in shown if output.get("name") == "stderr" and "warning" in output["text"].lower()]


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_lab_shows_what_it_says(path, monkeypatch):
    """As a script, for a kernel takes as long as a lab; asserts a picture, that nothing warns, and its figures."""
    notebook_of(path)
    shown = []

    def show():
        shown.extend(plt.figure(number) for number in plt.get_fignums())
        for figure in shown:
            figure.canvas.draw()
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.simplefilter("error", category)
        names = runpy.run_path(str(path))
    assert shown, "a picture"
    exec(dedent(FIGURES[path.stem]), names)


def test_the_list_names_every_notebook():
    names = re.findall(r"\]\(([\w/]+\.py)\)", (FOLDER / "README.md").read_text())
    assert sorted(names) == sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.py"))
    assert {path.stem for path in LABS} == set(FIGURES)
