"""Files of weights are made here as PyTorch made them before 1.6, without PyTorch."""

import io
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from recipes.errors import DataError
from recipes.pretrained.torch_files import MAGIC, read_torch_file


@pytest.fixture(autouse=True)
def _pretend_torch(monkeypatch):
    """So that the names in the pickles are PyTorch's."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = named("torch._utils", "_rebuild_tensor_v2", lambda *parts: parts)
    for kind in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, kind, named("torch", kind, type(kind, (), {})))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def named(module, name, thing):
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    return thing


class Tensor:
    def __init__(self, values, shape, strides, offset=0, kind="FloatStorage"):
        self.values, self.shape, self.strides, self.offset, self.kind = values, shape, strides, offset, kind

    def __reduce__(self):
        parts = (self, self.offset, self.shape, self.strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (Stored(self), *parts[1:])


class Stored:
    def __init__(self, tensor):
        self.tensor = tensor


class Writer(pickle.Pickler):
    def persistent_id(self, thing):
        if not isinstance(thing, Stored):
            return None
        tensor = thing.tensor
        kind = getattr(sys.modules["torch"], tensor.kind)
        return ("storage", kind, str(id(tensor.values)), "cpu", tensor.values.size, None)


def written(path, weights, magic=MAGIC):
    file = io.BytesIO()
    for head in (magic, 1001, {"little_endian": True}):
        pickle.dump(head, file, protocol=2)
    Writer(file, protocol=2).dump(OrderedDict(weights))
    stored = {str(id(tensor.values)): tensor.values for tensor in weights.values() if isinstance(tensor, Tensor)}
    pickle.dump(list(stored), file, protocol=2)
    for values in stored.values():
        file.write(np.int64(values.size).tobytes() + values.tobytes())
    path.write_bytes(file.getvalue())
    return path


SIX = np.arange(6, dtype="<f4")


def test_arrays_are_views_of_storages(tmp_path):
    weights = {
        "rows": Tensor(SIX, (2, 3), (3, 1)),
        "columns": Tensor(SIX, (3, 2), (1, 3)),  # the same numbers, transposed
        "tail": Tensor(SIX, (2,), (1,), offset=4),
        "count": Tensor(np.array([7], "<i8"), (), (), kind="LongStorage"),
    }
    found = read_torch_file(written(tmp_path / "weights.pth", weights))
    assert list(found) == list(weights)
    np.testing.assert_array_equal(found["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found["columns"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["tail"], [4, 5])
    assert found["count"] == 7
    assert found["count"].dtype == np.int64


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_asks_for_more_is_refused_and_does_nothing(tmp_path):
    path = written(tmp_path / "weights.pth", {"weight": Tensor(SIX, (6,), (1,)), "evil": Evil(tmp_path / "made")})
    (tmp_path / "made").unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"no file of weights that can be read safely: it asks for \w+\.open"):
        read_torch_file(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (Tensor(SIX, (7,), (1,)), "reaches beyond its 6 numbers"),
        (Tensor(SIX, (2, 3), (3, 2)), "reaches beyond its 6 numbers"),
        (Tensor(SIX, (2,), (-1,), offset=3), "reaches beyond"),
        (Tensor(SIX, (6,), (1,), kind="HalfStorage"), "asks for torch.HalfStorage"),
    ],
)
def test_what_does_not_add_up_is_refused(tensor, why, tmp_path):
    with pytest.raises(DataError, match=why):
        read_torch_file(written(tmp_path / "weights.pth", {"weight": tensor}))


def test_numbers_that_the_file_does_not_hold_are_refused(tmp_path):
    """A pickle can set what it likes on a storage, but its numbers come from the file alone."""
    global_names = "ctorch\nFloatStorage\n", "ctorch._utils\n_rebuild_tensor_v2\n"
    storage = f"(Vstorage\n{global_names[0]}Vkey\nVcpu\nI6\nNtQ"
    built = f"{storage}}}(Vcount\nI4000\nVvalues\n](I1\nI2\neub"
    pickled = f"}}(Vweight\n{global_names[1]}({built}I0\n(I1000\nt(I1\ntI00\n}}tRu."
    heads = b"".join(pickle.dumps(head, protocol=2) for head in (MAGIC, 1001, {"little_endian": True}))
    (tmp_path / "weights.pth").write_bytes(heads + pickled.encode() + pickle.dumps([], protocol=2))
    with pytest.raises(DataError, match="numbers that the file does not hold"):
        read_torch_file(tmp_path / "weights.pth")


def test_a_damaged_file_is_refused(tmp_path):
    whole = written(tmp_path / "whole.pth", {"weight": Tensor(SIX, (6,), (1,))}).read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "torn.pth"
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="can be read safely"):
            read_torch_file(path)
    path.write_bytes(b"PK\x03\x04 the format since 1.6")
    with pytest.raises(DataError, match="can be read safely"):
        read_torch_file(path)
    with pytest.raises(DataError, match="cannot read the weights .*: No such file"):
        read_torch_file(tmp_path / "none.pth")
    with pytest.raises(DataError, match="does not begin as one"):
        read_torch_file(written(tmp_path / "other.pth", {}, magic=1))
