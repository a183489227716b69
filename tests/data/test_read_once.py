"""What is read once for several processes that share a file."""

import tempfile
from types import MappingProxyType

import numpy as np
import pytest

from recipes.data.in_memory import Arrays
from recipes.data.read_once import SLOT, read_once


@pytest.fixture
def slot(monkeypatch):
    with tempfile.TemporaryFile() as file:
        monkeypatch.setenv(SLOT, str(file.fileno()))
        yield file


def counted(value, times):
    def read():
        times.append(1)
        return value

    return read


def test_what_was_read_is_not_read_again(slot):
    arrays, times = Arrays((np.arange(6).reshape(3, 2), np.array(["a", "é", b"\xff"], object)), skipped={"x": "y"}), []
    for _ in range(3):
        read = read_once(("mnist", 1), counted(arrays, times))
        np.testing.assert_array_equal(read.train[0], arrays.train[0])
        assert read.train[0].flags.writeable
        assert list(read.train[1]) == ["a", "é", b"\xff"]
        assert read.skipped == {"x": "y"}
    assert len(times) == 1


def test_what_another_key_reads_is_its_own_and_the_first_stays(slot):
    times = []
    assert read_once("one", counted([1], times)) == [1]
    assert read_once("two", counted([2], times)) == [2]
    assert read_once("two", counted([2], times)) == [2]
    assert read_once("one", counted([1], times)) == [1]
    assert len(times) == 3


def test_what_cannot_be_kept_is_read_each_time(slot):
    times = []
    for _ in range(2):
        assert read_once("lazy", counted(lambda: 1, times))() == 1
    assert len(times) == 2
    assert read_once("plain", counted(MappingProxyType({1: 2}), times)) == {1: 2}
    assert read_once("plain", counted(None, times)) == {1: 2}


def test_half_of_a_file_is_no_content(slot):
    """As of a process that was killed while it wrote: the digest comes last."""
    slot.write(bytes(32) + b"half")
    slot.flush()
    assert read_once("one", counted([1], [])) == [1]


def test_one_process_reads_for_itself(monkeypatch):
    monkeypatch.delenv(SLOT, raising=False)
    times = []
    for _ in range(2):
        assert read_once("one", counted([1], times)) == [1]
    assert len(times) == 2
