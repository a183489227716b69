"""Names of files and folders as text that can be printed and written."""

import unicodedata
from pathlib import Path


def printable(name: str | Path) -> str:
    r"""Returns a name with what cannot be written in UTF-8, or would move a terminal's cursor, as an escape.

    >>> printable("caf\udce9")  # a byte of Latin-1, as Python holds it
    'caf\\xe9'
    """
    return "".join(map(_printable_letter, str(name)))


def _printable_letter(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode() if unicodedata.category(letter) in ("Cc", "Cs") else letter
