"""What the server of tests/processes.py has imported before it forks."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib

import recipes

for name in (*(f"recipes.{name}" for name in recipes.RECIPES), "two_optimizers"):
    importlib.import_module(name)
