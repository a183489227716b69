"""The curves of a run, as history.csv holds them. Loads nothing but the standard library."""

import csv
import math
from pathlib import Path


def read_history(path: Path) -> dict[str, list[float]]:
    """Returns the columns of a history.csv, "epoch" from 1; {} where there is none yet, or none that can be read.

    What is no number, as a metric that was not logged in an epoch, is NaN; a column of texts is left out. Older files
    count epochs from 0.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error):
        return {}
    columns = {name: [_number(row[name]) for row in rows] for name in (rows[0] if rows else ()) if name}
    columns = {name: values for name, values in columns.items() if not all(map(math.isnan, values))}  # texts
    epochs = columns.get("epoch", [])
    if epochs and min(epochs) == 0:
        columns["epoch"] = [epoch + 1 for epoch in epochs]
    return columns


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
