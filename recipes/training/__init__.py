"""What the verbs of a recipe are made of."""

from recipes.training.auxiliary import WithAuxiliary
from recipes.training.config import change, check_config
from recipes.training.export import (
    Signature,
    export_classifier,
    export_signatures,
    image_signatures,
    in_float32,
)
from recipes.training.halves import apply, draw_reconstructions, draw_walks, export_halves, pixels
from recipes.training.loop import fit_model, follow_data
from recipes.training.losses import SmoothedCrossentropy
from recipes.training.optimizers import decayed_sgd, one_cycle
from recipes.training.outcome import evaluate_model
from recipes.training.pictures import classifier_pictures, draw_images, save_picture
from recipes.training.resume import open_run
from recipes.training.runs import recipe_name
from recipes.training.search import tune_model
from recipes.training.trained import same_data, trained

__all__ = [
    "Signature",
    "SmoothedCrossentropy",
    "WithAuxiliary",
    "apply",
    "change",
    "check_config",
    "classifier_pictures",
    "decayed_sgd",
    "draw_images",
    "draw_reconstructions",
    "draw_walks",
    "evaluate_model",
    "export_classifier",
    "export_halves",
    "export_signatures",
    "fit_model",
    "follow_data",
    "image_signatures",
    "in_float32",
    "one_cycle",
    "open_run",
    "pixels",
    "recipe_name",
    "same_data",
    "save_picture",
    "trained",
    "tune_model",
]
