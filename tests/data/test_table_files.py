"""CSV and its kin, and JSON Lines: read as they were written, and what is wrong with them."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recipes.data.table_files import open_table, read_cells
from recipes.errors import DataError

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def everything(path):
    """Returns the columns of a table by their names, and the lines where its rows begin."""
    table = open_table(path)
    cells = read_cells(table, table.names)
    return dict(zip(table.names, cells.columns, strict=True)), list(cells.lines)


@given(
    st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["table.csv", "table.csv.gz", "table.txt"]),
)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows, separator, end, quoting, encoding, name):
    assume(quoting != csv.QUOTE_MINIMAL or not any("\r" in cell for row in rows for cell in row))  # not quoted then
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("a text", "b", "c"), *rows])
    content = file.getvalue().encode(encoding)
    path = tmp_path_factory.mktemp("tables") / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    columns, _ = everything(path)
    assert columns == {key: [row[place] for row in rows] for place, key in enumerate(("a text", "b", "c"))}


def test_lines_are_those_of_the_file_and_unusual_separators_are_said(tmp_path, capsys):
    path = write(tmp_path / "a.csv", 'text;label\n"two\nlines; both";x\n\nb;y\n')
    assert everything(path) == ({"text": ["two\nlines; both", "b"], "label": ["x", "y"]}, [2, 5])
    assert capsys.readouterr().out == f"note: the columns of {path} are separated by semicolons\n"
    everything(write(tmp_path / "b.tsv", "text\tlabel\na, b\tx\n"))
    assert capsys.readouterr().out == "", "tabs, as its ending says"


def test_json_lines_are_read_with_their_types(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a", "y": 1}\n\n{"y": null, "tags": ["b", "c"], "text": "d"}\n')
    assert everything(path) == ({"text": ["a", "d"], "y": [1, None], "tags": [None, ["b", "c"]]}, [1, 3])


def test_only_the_columns_that_are_needed_are_kept(tmp_path):
    path = write(tmp_path / "a.csv", "id,text\n1,a\n2,b\n")
    assert read_cells(open_table(path), ["text"]).columns == [["a", "b"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv is empty; expected a header, the names of the columns, and rows below it"),
        ("a.csv", "text,label\n", "a.csv has a header and no rows; expected one or more below it"),
        ("a.csv", "a,a,b\n1,2,3\n", "a.csv has more than one column 'a'; expected columns of different names"),
        (
            "a.csv",
            "text,label\na,0\nb,c,1\nd,1\ne\n",
            r"2 lines \(3, 5\) of .*a.csv have 3, 1 cells; expected 2, as its header has: 'text', 'label'. A cell with "
            "commas in it stands in quotes",
        ),
        (
            "a.csv",
            "text,label\n" + "a,0\nb\n" * 12,
            r"12 lines \(3, 5, 7, 9, 11, 13, 15, 17, 19, 21, ...\) of .* have 1 cells",
        ),
        ("a.csv", 'text,label\na,0\n"b,1\nc,2\n', "begins with a quote .* in the row at line 3 of .* never ends"),
        ("a.csv", 'text,label\na,0\n"b" c,1\n', "row at line 3 of .* has more after the quote"),
        (
            "a.csv",
            "text,label\na,0\ncaf\u00e9,1\n".encode("latin-1"),
            "cannot read .*a.csv as text in UTF-8: byte 0xe9 in line 3, character 4, is none of it; save it as UTF-8, "
            "as by: iconv -f latin1 -t utf-8 .*a.csv > new.csv",
        ),
        ("a.csv", "text,label\na,0\n".encode("utf-16-le"), "a NUL in line 1, character 2, .* iconv -f utf-16"),
        ("a.csv.gz", "text,label\na,0\n", "cannot read .*a.csv.gz: Not a gzipped file"),
        ("a.jsonl", "", "a.jsonl is empty; expected a JSON object in each line"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 of .*a.jsonl is a JSON list; expected an object in each line"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', "line 2 of .*a.jsonl is no JSON: .*; expected an object in each line"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as error:
        everything(path)
    assert "\n" not in str(error.value)


def test_a_large_file_is_not_held_in_memory(tmp_path):
    """Of 20 MB, one narrow column is kept: the peak is a fraction of the file."""
    import tracemalloc

    path = write(tmp_path / "a.csv", "text,label\n" + ("x" * 10_000 + ",1\n") * 2000)
    table = open_table(path)
    tracemalloc.start()
    read_cells(table, ["label"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_json_with_separators_of_other_kinds_is_no_matter(tmp_path):
    record = {"text": "a\u2028b\u0085c"}  # which str.splitlines takes for ends of lines
    assert everything(write(tmp_path / "a.ndjson", json.dumps(record, ensure_ascii=False)))[0]["text"] == [
        "a\u2028b\u0085c"
    ]
