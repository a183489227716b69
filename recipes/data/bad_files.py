"""What is said of files that cannot be read: all of them at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes.errors import one_line

MOST_NAMED = 10  # in one message
MOST_LISTED = 100  # in data.json


def counted(count: int, things: str) -> str:
    """Returns a number of things: "12 files", "1 file"."""
    return f"{count:,} {things.removesuffix('s') if count == 1 else things}"


def listed(bad: Mapping[Path, str]) -> dict[str, str]:
    """Returns files that were left out and why, for DataInfo: the first of them, and how many more there are."""
    first = {one_line(path): reason for path, reason in [*bad.items()][:MOST_LISTED]}
    return first | ({"...": f"and {len(bad) - MOST_LISTED:,} more"} if len(bad) > MOST_LISTED else {})


def note_skipped(bad: Mapping[Any, str], count: int, what: str) -> None:
    """Prints which of `count` files are left out."""
    print(f"left out {len(bad)} of {counted(count, what)} that cannot be read: {_first(bad)}")


def complaint(bad: Mapping[Any, str], count: int, what: str) -> str:
    """Returns what is said of files that cannot be read: the first of them, how many, and what to do.

    Args:
        bad: File, or its place, -> why.
        count: Of how many.
        what: They are: "images".
    """
    if len(bad) == 1:
        return f"{_first(bad)}. Mend or remove it, or leave it out with on_bad_file='skip'"
    return (
        f"{len(bad)} of {counted(count, what)} cannot be read: {_first(bad)}. Mend or remove them, or leave them out "
        "with on_bad_file='skip'"
    )


def _first(bad: Mapping[Any, str]) -> str:
    more = f"; and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
    return "; ".join([*bad.values()][:MOST_NAMED]) + more
