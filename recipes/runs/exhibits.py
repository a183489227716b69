"""What a report shows, each picture and text made and written by itself."""

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from recipes.data.splits import Splits
from recipes.errors import printable

#: Its title ("" for a file that lies beside the report), the name of its file, and what makes it: a Figure or a text
Exhibit = tuple[str, str, Callable[[], Any]]

#: (model, splits) -> what the report of its run shows
Report = Callable[[Any, Splits], Iterable[Exhibit]]


def write_exhibits(report: Callable[[], Iterable[Exhibit]], folder: Path) -> tuple[dict[str, str], list[str]]:
    """Writes what a report shows, each file by itself: one that fails is a note, printed too.

    Returns:
        ({title: file name} of what was written, the notes).
    """
    from recipes.runs.atomic_files import save_picture, write_text  # which no page needs to be imported

    shown: dict[str, str] = {}
    notes: list[str] = []
    name = "the report"
    exhibits = chain.from_iterable(each() for each in [report])  # called in the loop: that may fail, too
    while True:
        try:
            title, name, make = next(exhibits)
            content = make()
            write_text(folder / name, content) if isinstance(content, str) else save_picture(content, folder / name)
            if title:
                shown[title] = name
        except StopIteration:
            return shown, notes
        except Exception as error:  # a trained model is not lost to a picture of it, whatever is wrong there
            first = (str(error).splitlines() or [""])[0]
            notes.append(f"{name} could not be made ({type(error).__name__}: {first})")
            print(f"note: {printable(notes[-1])}", flush=True)
        name = "the rest of the report"
