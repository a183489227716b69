"""The curves of a report: each metric is in the picture, of whichever split it is."""

from recipes.runs.atomic_files import save_picture
from recipes.runs.report import draw_curves


def test_curves_show_metrics_of_validation_alone(tmp_path):
    curves = {"epoch": [0.0, 1.0], "loss": [2.0, 1.0], "val_distance": [0.3, 0.2], "val_loss": [2.5, 1.5]}
    figure = draw_curves(curves, "two epochs")
    lines = {
        axes.get_ylabel().split()[0]: {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        for axes in figure.axes
    }
    assert lines == {
        "loss": {"training": [2.0, 1.0], "validation": [2.5, 1.5]},
        "distance": {"validation": [0.3, 0.2]},
    }
    save_picture(figure, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
