"""What the verbs of a recipe are made of."""

from recipes.training.config import change, check_config
from recipes.training.export import export_classifier
from recipes.training.loop import fit_model, follow_data
from recipes.training.losses import SmoothedCrossentropy
from recipes.training.outcome import evaluate_model
from recipes.training.resume import open_run
from recipes.training.runs import recipe_name
from recipes.training.search import tune_model
from recipes.training.trained import same_data, trained

__all__ = [
    "SmoothedCrossentropy",
    "change",
    "check_config",
    "evaluate_model",
    "export_classifier",
    "fit_model",
    "follow_data",
    "open_run",
    "recipe_name",
    "same_data",
    "trained",
    "tune_model",
]
