"""Files of text as people have them, in the encodings that they have, and what does not fit in memory."""

from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from recipes import imdb_transformer, shakespeare_gpt, show_attend_tell, translate_seq2seq, word2vec
from recipes.data.text_reading import read_text_file
from recipes.errors import DataError

TEXT = "na\u00efve \u65e5\u672c \U0001f600\nand on"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_are_known_by_their_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode(encoding))
    assert read_text_file(path) == TEXT
    path.write_bytes(("\ufeff" + TEXT).encode("utf-16-be"))
    assert read_text_file(path) == TEXT


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb", ["a", "b"]),
        (b"a\rb", ["a", "b"]),  # as on old Macintoshes
        (b"a\rb\r\nc", ["a\rb", "c"]),
        ("a\x0cb\x0b\x1c\u0085\u2028\u2029c".encode(), ["a\x0cb\x0b\x1c\u0085\u2028\u2029c"]),
        (b"", [""]),
    ],
)
def test_a_line_ends_with_a_line_feed(tmp_path, content, lines):
    (tmp_path / "text.txt").write_bytes(content)
    assert read_text_file(tmp_path / "text.txt").split("\n") == lines


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "one\ncaf\u00e9".encode("latin-1"),
            r"text.txt as text in UTF-8: byte 0xe9 at position 7, in line 2, is none of it; save it as UTF-8, as by: "
            r"iconv -f latin1 -t utf-8 .*text.txt > new.txt",
        ),
        (
            TEXT.encode("utf-16-le"),
            r"as text in UTF-8: byte 0x.. at position .*; save it as UTF-8",
        ),
        ("plain".encode("utf-16-le"), r"as text in UTF-8: it has a NUL at position 1, .* iconv -f utf-16 -t utf-8"),
        (TEXT.encode("utf-16")[:-1], r"as text in UTF-16: byte 0x"),
        (None, r"cannot read .*text.txt: No such file or directory; expected a text file"),
    ],
)
def test_what_is_no_text_is_named_with_the_place_and_a_way(tmp_path, content, message):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text_file(tmp_path / "text.txt")


def test_texts_are_measured_before_they_are_read(tmp_path, monkeypatch):
    """Half of the free memory for a text of 10,000 characters: for as many bytes each as reading it needs."""
    text = "a film " * 1428 + "\n\n\n\n"
    (tmp_path / "text.txt").write_text(text)
    for name in ("good", "bad"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "text.txt").write_text(text[:5000])
    loads = [
        (shakespeare_gpt, 16, (tmp_path / "text.txt", text)),
        (word2vec, 16, (tmp_path / "text.txt", text)),
        (imdb_transformer, 8, (tmp_path / "folder", ([text[:5000]] * 2, [0, 1]))),
        (translate_seq2seq, 24, (tmp_path / "text.txt", ([text[:5000]] * 2, ["a", "b"]))),
        (show_attend_tell, 8, (tmp_path / "text.txt",)),
    ]
    for recipe, per_character, datas in loads:
        free = 2 * 10_000 * per_character - 2
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free))
        for data in datas:
            remedy = "(pass less of it|read it from the disk instead with in_memory='no')"
            with pytest.raises(DataError, match=f"GiB of memory, more than half of what is free; {remedy}"):
                recipe.load_data(
                    replace(recipe.TINY, in_memory="auto" if recipe in (word2vec, show_attend_tell) else "yes"), data
                )
