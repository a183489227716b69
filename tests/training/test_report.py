"""The curves of a report: each metric is in the picture, of whichever split it is."""

from recipes.training.report import draw_curves


def test_curves_show_metrics_of_validation_alone(tmp_path, monkeypatch):
    figure = _figure(monkeypatch)
    curves = {"epoch": [0.0, 1.0], "loss": [2.0, 1.0], "val_distance": [0.3, 0.2], "val_loss": [2.5, 1.5]}
    draw_curves(curves, tmp_path / "curves.png", "two epochs")
    lines = {axes.get_ylabel(): {line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in figure()}
    assert lines == {
        "loss": {"training": [2.0, 1.0], "validation": [2.5, 1.5]},
        "distance": {"validation": [0.3, 0.2]},
    }
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def _figure(monkeypatch):
    """Returns a function that says which axes the last figure has."""
    from matplotlib import figure

    made = []

    class Kept(figure.Figure):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            made.append(self)

    monkeypatch.setattr(figure, "Figure", Kept)
    return lambda: made[-1].axes
