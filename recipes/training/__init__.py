"""What the verbs of a recipe are made of."""

from recipes.training.config import change, check_config
from recipes.training.devices import training_scope
from recipes.training.export import export_classifier
from recipes.training.loop import evaluate_model, fit_model, follow_data
from recipes.training.losses import SmoothedCrossentropy
from recipes.training.runs import recipe_name, same_data, trained
from recipes.training.search import tune_model

__all__ = [
    "SmoothedCrossentropy",
    "change",
    "check_config",
    "evaluate_model",
    "export_classifier",
    "fit_model",
    "follow_data",
    "recipe_name",
    "same_data",
    "trained",
    "training_scope",
    "tune_model",
]
