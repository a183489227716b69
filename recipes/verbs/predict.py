"""A trained model's predictions for what people have: files, bytes, arrays, images, strings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import keras

from recipes.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe

MOST_NAMED = 10  # inputs that cannot be read, by name in one message


def predict_recipe(recipe: Recipe, model: keras.Model, inputs: Any, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a recipe's predictions; see `Recipe.predict`."""
    check_options(recipe, options)
    predictions, failures = [], []
    for _, answer in recipe.kind.predict(model, inputs, **options):
        if isinstance(answer, DataError):
            failures.append(str(answer))
        else:
            predictions.append(answer)
    if len(failures) == 1:
        raise DataError(failures[0])
    if failures:
        more = f"; and {len(failures) - MOST_NAMED} more" if len(failures) > MOST_NAMED else ""
        listed = "; ".join(failures[:MOST_NAMED])
        raise DataError(f"{len(failures)} of {len(failures) + len(predictions)} inputs cannot be read: {listed}{more}")
    return predictions


def check_options(recipe: Recipe, options: dict[str, Any]) -> None:
    """Refuses options that this kind of recipe does not have."""
    known = [name for name in inspect.signature(recipe.kind.predict).parameters if name not in ("model", "inputs")]
    for name in options:
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "it takes none"
            raise ConfigError(f"predict has no option {name!r}{did_you_mean(name, known)}; {expected}")
