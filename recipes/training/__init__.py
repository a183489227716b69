"""What the verbs of a recipe are made of."""

from recipes.training.config import change, check_config
from recipes.training.export import export_classifier
from recipes.training.loop import fit_model, follow_data
from recipes.training.losses import SmoothedCrossentropy
from recipes.training.outcome import evaluate_model
from recipes.training.runs import open_run, recipe_name
from recipes.training.search import tune_model
from recipes.training.strategies import replica_rows, several_replicas, training_scope
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
    "replica_rows",
    "same_data",
    "several_replicas",
    "trained",
    "training_scope",
    "tune_model",
]
