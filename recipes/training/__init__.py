"""What the verbs of a recipe are made of."""

from recipes.training.config import change, check_config
from recipes.training.export import Signature, export_signatures, in_float32
from recipes.training.files import save_picture, write_text
from recipes.training.loop import fit_model, follow_data
from recipes.training.optimizers import Adam, AdamW, decayed_sgd, one_cycle
from recipes.training.outcome import evaluate_model
from recipes.training.resume import open_run
from recipes.training.runs import recipe_name
from recipes.training.search import tune_model
from recipes.training.trained import known_tokenizer, run_of, same_data, trained

__all__ = [
    "Adam",
    "AdamW",
    "Signature",
    "change",
    "check_config",
    "decayed_sgd",
    "evaluate_model",
    "export_signatures",
    "fit_model",
    "follow_data",
    "in_float32",
    "known_tokenizer",
    "one_cycle",
    "open_run",
    "recipe_name",
    "run_of",
    "same_data",
    "save_picture",
    "trained",
    "tune_model",
    "write_text",
]
