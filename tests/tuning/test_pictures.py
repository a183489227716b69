"""The pictures of a search: their lines are the trials, on axes with the true values, and no text lies on another."""

from itertools import combinations

import keras_tuner
import numpy as np
import pytest
from matplotlib.text import Annotation
from tuning.searches import search, trial

from recipes.runs.atomic_files import save_picture
from recipes.tuning.pictures import draw_importances, draw_parallel_coordinates, draw_trials
from recipes.tuning.trial_results import START, TrialResult

pytestmark = pytest.mark.drawn


def labelled(axes):
    """Returns label -> (x, y) of a panel's lines that are in the legend."""
    return {line.get_label(): line.get_xydata() for line in axes.lines if not line.get_label().startswith("_")}


def overlaps(figure):
    """Returns the pairs of a drawn figure's annotations that lie on one another."""
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in figure.findobj(Annotation)]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


def hard_space():
    hp = keras_tuner.HyperParameters()
    hp.Float("the_learning_rate_of_the_discriminator_after_its_warm_up_of_a_thousand_steps", 1e-5, 0.1, sampling="log")
    hp.Choice(
        "the optimizer that trains the encoder", ["momentum_with_decoupled_weight_decay", "$\\frac$", "\x1b[2J\n"]
    )
    hp.Boolean("augment")
    hp.Int("units", 16, 512, sampling="log")
    hp.Float("dropout", 0.0, 0.5, step=0.05)
    with hp.conditional_scope("augment", [True]):
        hp.Float("momentum", 0.5, 0.99, sampling="reverse_log")
    for number in range(12):
        hp.Float(f"n{number}", 0.0, 1.0)
    return hp.space


def random_trials(space, count):
    generator = np.random.default_rng(0)
    rows = [{each.name: each.prob_to_value(generator.random()) for each in space} for _ in range(count)]
    for row in rows:
        if row.get("augment") is False:
            del row["momentum"]
    return [trial(number, 0.5 + 0.01 * number, values=row) for number, row in enumerate(rows)]


@pytest.mark.parametrize("hyperparameters", [1, 6, 18])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_no_text_lies_on_another(hyperparameters, count, tmp_path):
    space = hard_space()[:hyperparameters]
    shares = {each.name: 1 / len(space) for each in space}
    cut_and_failed = [trial(97, 0.4, cut="pruned"), trial(98, None, error="no memory"), trial(99, -9.0)]
    trials = search([*random_trials(space, count), *cut_and_failed], space=space)
    for figure in (draw_parallel_coordinates(trials, shares), draw_importances(trials, shares), draw_trials(trials)):
        save_picture(figure, tmp_path / "picture.png")
        assert overlaps(figure) == []
        width = figure.bbox.width
        assert all(0 <= box.x0 < box.x1 <= width for box in (each.get_window_extent() for each in figure.legends))


def test_a_line_passes_through_a_trials_values_and_the_better_end_is_up():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1e-1, sampling="log")
    hp.Choice("kind", ["a", "b"])
    trials = [trial(n, figure, values={"rate": 0.01, "kind": "b"}) for n, figure in enumerate((0.5, 0.75, 1.0))]
    for direction, number in (("max", 2), ("min", 0)):
        [axes] = draw_parallel_coordinates(search(trials, space=hp.space, direction=direction), {}).axes
        label = f"best: trial {number:02}, {trials[number].figure:.4g}"
        np.testing.assert_allclose(labelled(axes)[label], [(0, 0.5), (1, 0.75), (2, 1)])


def test_failed_trials_are_left_out_and_cut_ones_have_no_figure():
    trials = [trial(0, 0.9), trial(1, None, error="no memory"), trial(2, 0.7, cut="pruned")]
    [axes] = draw_parallel_coordinates(search(trials), {}).axes
    lines = labelled(axes)
    assert set(lines) == {"best: trial 00, 0.9", "cut short"}
    assert np.isnan(lines["cut short"][-1, 1])


def test_the_most_important_of_many_hyperparameters_are_drawn():
    hp = keras_tuner.HyperParameters()
    for number in range(14):
        hp.Float(f"n{number}", 0.0, 1.0)
    shares = {f"n{number}": number / 91 for number in range(14)}
    trials = search([trial(0, 0.9, values={f"n{number}": 0.5 for number in range(14)})], space=hp.space)
    texts = {text.get_text() for text in draw_parallel_coordinates(trials, shares).findobj(Annotation)}
    assert {f"n{number}" for number in range(14)} & texts == {f"n{number}" for number in range(4, 14)}


def test_curves_end_with_a_mark_where_a_trial_was_cut_or_failed():
    trials = [
        trial(0, 0.9),
        trial(1, 0.7, cut="pruned", figures=(0.6, 0.7)),
        trial(2, None, error="no memory", figures=(0.4,)),
    ]
    left, right = draw_trials(search(trials)).axes
    lines = labelled(left)
    assert lines["best: trial 00, 0.9"][-1].tolist() == [4, 0.9]
    assert lines["cut short"].tolist() in ([[2, 0.7]], [[1, 0.6], [2, 0.7]])
    assert lines["failed"].tolist() == [[1, 0.4]]
    assert lines["the settings it started from"][-1].tolist() == [4, 0.8]
    assert [tick for tick in left.get_xticks() if 1 <= tick <= 4] == [1, 2, 3, 4]
    assert labelled(right)["failed"][0, 0] == 3


@pytest.mark.parametrize(("direction", "best"), [("max", [0.5, 0.7, 0.7]), ("min", [0.5, 0.5, 0.5])])
def test_the_best_so_far(direction, best):
    trials = [trial(0, 0.5), trial(1, 0.7), trial(2, 0.6)]
    _, right = draw_trials(search(trials, direction=direction)).axes
    assert labelled(right)["best so far"][:, 1].tolist() == best


def test_a_divergence_does_not_hide_the_others():
    trials = [*(trial(n, 1 + n / 10) for n in range(8)), trial(8, 970.0, figures=(2.0, 970.0))]
    left, right = draw_trials(search(trials, start=1.5, direction="min", objective="val_loss")).axes
    assert left.get_ylim()[1] < 20
    assert right.get_ylim()[1] < 3
    assert labelled(right)["far worse"][:, 0].tolist() == [9]


def test_a_search_whose_best_is_its_start_is_drawn():
    start = TrialResult(START, {"rate": 0.5, "dropout": 0.5}, figures=(0.9,), figure=0.9)
    trials = search([trial(0, None, error="no memory")], start=start)
    assert "best: trial start, 0.9" in labelled(draw_trials(trials).axes[0])
    assert "best: trial start, 0.9" in labelled(draw_parallel_coordinates(trials, {}).axes[0])
