"""What classifiers can do besides what every recipe can: `calibrate` and `ensemble`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from recipes.verbs.recipe import Recipe


def classifier_verbs(recipe: Recipe) -> tuple[Callable[..., keras.Model], Callable[..., keras.Model]]:
    """Returns (calibrate, ensemble) of a recipe."""

    def calibrate(
        model: keras.Model | str | Path | None = None, data: Any = None, *, runs: str | Path = "runs"
    ) -> keras.Model:
        """Returns the model with its logits divided by a temperature, so that its probabilities are what they say.

        The temperature is the one number T of the least -log softmax(logits / T)[label] on the validation split; the
        predicted classes stay what they are. The run keeps it: its model.keras divides from now on, and so do what
        `predict` answers and what `export` writes; its report has the figures before and after. Calibrating again
        replaces it. Guo et al. (2017), section 4.2, https://arxiv.org/abs/1706.04599.

        Args:
            model: What `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            data: What the model was trained on, where that was in memory.
            runs: Where run folders are.

        Raises:
            ConfigError: The labels are several for an example, or numbers.
            DataError: No validation data was held out, or the data is not what it was.
            RunError: There is no such run.
        """
        from recipes.kinds.calibration import calibrate_recipe

        return calibrate_recipe(recipe, recipe.load(model, runs=runs), data)

    def ensemble(
        models: Sequence[keras.Model | str | Path], data: Any = None, *, runs: str | Path = "runs"
    ) -> keras.Model:
        """Returns a model whose probabilities are the mean of several models'; it has a run folder of its own.

        The folder, `<runs>/<recipe>/ensemble-<id>`, holds it as any run's: it is evaluated on the test split, and is
        loaded, asked, calibrated, exported and served as one model. Networks trained from other seeds err on other
        examples, so that the mean is right more often than each. Lakshminarayanan et al. (2017), section 2.4,
        https://arxiv.org/abs/1612.01474.

        Args:
            models: What `fit` returned, or folders or ids of runs; two or more, trained on the same data, with any
                settings.
            data: What they were trained on, where that was in memory.
            runs: Where run folders are, and the new one goes.

        Raises:
            ConfigError: Fewer than two models, or their labels are several for an example, or numbers.
            DataError: They take or answer different things, or were trained on different data.
            RunError: There is no such run.
        """
        from recipes.kinds.ensembles import ensemble_recipe

        return ensemble_recipe(recipe, [recipe.load(model, runs=runs) for model in models], data, runs)

    return calibrate, ensemble
