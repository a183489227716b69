"""The curves of a report: epochs from 1, units, and a value that diverged does not hide the others."""

import math

import numpy as np
import pytest

from recipes.runs.atomic_files import save_picture
from recipes.runs.curves import axis_label, draw_curves, largest_shown

pytestmark = pytest.mark.drawn


def drawn(curves, title=""):
    figure = draw_curves(curves, title)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("first", [0, 1])
def test_epochs_count_from_one(first):
    figure = drawn({"epoch": [first, first + 1, first + 2], "loss": [3.0, 2.0, 1.0]})
    assert list(figure.axes[0].lines[0].get_xdata()) == [1, 2, 3]


def test_one_epoch_has_one_tick():
    [axes] = drawn({"epoch": [0], "accuracy": [0.9], "val_accuracy": [0.8]}).axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    assert axes.get_ylim()[0] < 0.8 < 0.9 < axes.get_ylim()[1]


def test_a_value_that_diverged_is_at_the_edge_and_named():
    curves = {"epoch": [0, 1, 2], "loss": [2.0, 1.5, 1.0], "val_loss": [2.5, 970.0, 1.5]}
    [axes] = drawn(curves).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"training", "validation", "validation, off the scale: 970"}
    np.testing.assert_equal(lines["validation"].get_ydata(), [2.5, math.nan, 1.5])  # the line breaks
    assert list(lines["validation, off the scale: 970"].get_xdata()) == [2]
    assert axes.get_ylim()[1] < 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)


def test_what_is_no_number_leaves_a_gap_and_infinity_is_named(tmp_path):
    curves = {"epoch": [0, 1, 2], "f1": [None, 0.5, "high"], "loss": [1.0, math.nan, -math.inf], "none": [None] * 3}
    figure = drawn(curves)
    f1, loss, none = figure.axes
    assert list(f1.lines[0].get_xdata()) == [2]
    assert [line.get_label() for line in loss.lines] == ["training", "training, off the scale: -inf"]
    assert list(none.lines[0].get_xdata()) == []
    save_picture(figure, tmp_path / "curves.png")


@pytest.mark.parametrize(
    ("values", "cut"),
    [
        ([250.0, 150.0, 140.0, 138.0, 137.0, 136.0], []),  # a loss that falls
        ([2.3, 0.3, 0.01, 0.005, 0.002, 0.001, 0.001, 0.001], []),  # far
        ([0.0, 0.0, 2.0, 15.0, 30.0], []),  # a score that climbs
        ([0.0, 0.0, 0.0, 0.9], []),  # a share
        ([0.0, 0.0], []),
        ([5000.0, 2.0, 1.5, 1.2, 1.1], [5000.0]),  # the first epoch diverged
        ([2.0, 1.5, 1.2, 1.1, -1e9], [-1e9]),
    ],
)
def test_only_what_diverged_is_cut(values, cut):
    values = np.array(values)
    assert list(values[np.abs(values) > largest_shown([values])]) == cut


def test_a_long_title_is_inside_the_figure():
    title = "/data/" + 30 * "films/" + " imdb_reviews 1.0.0 (5,000,000 train, 100,000 validation, 5,000,000 test)"
    figure = drawn({"epoch": [0], "loss": [1.0]}, title)
    extent = figure.findobj(lambda artist: artist is figure._suptitle)[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width
    assert figure.get_suptitle().replace("\n", "").replace(" ", "") == title.replace(" ", "")


def test_an_axis_says_its_unit_and_which_way_is_good():
    assert axis_label("loss", ["loss"]) == "loss\nnats; lower is better"
    assert axis_label("accuracy", []) == "accuracy\nshare; higher is better"
    assert axis_label("loss", ["loss", "discriminator_loss"]) == "loss\nof the generator, in nats; balance is good"
    assert axis_label("hidden_norm", []) == "hidden_norm"
