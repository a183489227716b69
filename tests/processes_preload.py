"""What the server of tests/processes.py has imported before it forks."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib

import recipes

for name in recipes.RECIPES:
    importlib.import_module(f"recipes.{name}")
