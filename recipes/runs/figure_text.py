"""Text in figures: shown as it is, in a font that has its characters, and no longer than there is room for."""

import functools
import textwrap
from collections.abc import Iterator

from matplotlib.figure import Figure  # not pyplot: no display, no state
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, NullFormatter, ScalarFormatter

from recipes.errors import one_line

WIDTH = 0.6  # of a character, as a share of the size of the font, on average


def shown_as_it_is(figure: Figure) -> Figure:
    r"""Returns a figure whose texts are shown as they are: `$` begins no mathematics, `\x1b` is seen as an escape.

    Names of classes, paths and sentences come from the data. The numbers that matplotlib itself writes at an axis,
    such as powers of ten, stay mathematics.
    """
    texts = list(_own_texts(figure))
    for text in texts:
        text.set_parse_math(False)
        text.set_text("\n".join(map(one_line, text.get_text().split("\n"))))
    family = _family_with(_missing("".join(text.get_text() for text in texts)))
    if family is not None:
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), family])
    return figure


def shortened(text: object, most: int = 24) -> str:
    """Returns a text of at most so many characters on one line, with … for its middle.

    >>> shortened("n02085936_maltese_dog", 11)
    'n0208…e_dog'
    """
    line = one_line(str(text))
    kept = most - 1
    return line if len(line) <= most else f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"


def wrapped(text: str, inches: float, size: float = 8.3) -> str:
    """Returns each line of a text in lines that so many inches have room for; `size` is that of the font, in points."""
    width = max(10, int(72 * inches / (WIDTH * size)))
    return "\n".join(textwrap.fill(one_line(line), width) for line in text.split("\n"))


def _own_texts(figure: Figure) -> Iterator[Text]:
    """Yields the texts of a figure, but for the numbers that matplotlib writes at an axis."""
    numbers = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), (ScalarFormatter, LogFormatter, NullFormatter)):
                numbers |= set(axis.findobj(Text)) - {axis.label}
            else:  # its labels are made as they are asked for
                axis.set_ticks(axis.get_ticklocs(), [one_line(label.get_text()) for label in axis.get_ticklabels()])
    yield from (text for text in figure.findobj(Text) if text not in numbers)


def _missing(text: str) -> frozenset[str]:
    """Returns the characters that the default font does not have."""
    font = get_font(findfont(FontProperties()))
    return frozenset(c for c in set(text) - {"\n"} if not font.get_char_index(ord(c)))


@functools.lru_cache
def _family_with(characters: frozenset[str]) -> str | None:
    """Returns the installed family of fonts that has the most of some characters; None where no one has any."""
    best, most = None, 0
    for entry in fontManager.ttflist if characters else ():
        try:
            font = get_font(entry.fname)
        except (OSError, RuntimeError):  # a font file that cannot be read
            continue
        count = sum(font.get_char_index(ord(c)) > 0 for c in characters) if font.scalable else 0
        if count > most and "Last Resort" not in entry.name:  # it has a box for each
            best, most = entry.name, count
    return best
