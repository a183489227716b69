"""A SavedModel in memory, ready to be asked.

It runs in a TensorFlow session, the code path of TensorFlow Serving: the same kernels and errors, only the part of the
graph that the wanted outputs need, and models of TensorFlow 1 too.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.serving.saved_model_files import check_operations, read_meta_graph
from recipes.serving.signatures import Signature, signatures_of
from recipes.serving.status import Code, ServingError

CALLABLES = 256  # kept at once: one for each set of outputs and each timeout that clients have asked for


class Engine:
    """A loaded SavedModel. Any number of threads may ask it at once.

    Args:
        path: The version's folder.
        allow_any_operation: Whether to load a graph that reaches files or the network, too.

    Raises:
        ServingError: It cannot be loaded, or holds operations that are refused.
    """

    def __init__(self, path: str | Path, *, allow_any_operation: bool = False) -> None:
        self.path = Path(path)
        meta_graph = read_meta_graph(self.path)
        if not allow_any_operation:
            check_operations(meta_graph)
        self.signatures = signatures_of(meta_graph)
        self.signature_defs = dict(meta_graph.signature_def)
        options = tf.compat.v1.ConfigProto()
        options.gpu_options.allow_growth = True
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=options)
        try:
            with self._session.graph.as_default(), _quiet():
                tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(self.path))
        except Exception as error:  # whatever a damaged file or a missing kernel raises
            self._session.close()
            code = Code(error.error_code) if isinstance(error, tf.errors.OpError) else Code.DATA_LOSS
            raise ServingError(code, f"{self.path} cannot be loaded: {error}") from None
        self._callables: OrderedDict[Any, Callable[..., list[np.ndarray]]] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Iterable[str] = (),
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Returns the outputs by name; texts are object arrays of bytes.

        Args:
            signature: One of `signatures`.
            inputs: Every input of it, by name.
            outputs: Those that are wanted; none: all.
            timeout: Seconds after which the run is given up.

        Raises:
            ServingError: With TensorFlow's own code and message.
        """
        wanted = tuple(sorted(outputs)) or tuple(signature.outputs)
        call = self._callable_of(signature, wanted, timeout)
        try:
            values = call(*[inputs[name] for name in signature.inputs])
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), _without_nodes(error.message)) from None
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # a feed that TensorFlow does not take
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from None
        return dict(zip(wanted, values, strict=True))

    def _callable_of(
        self, signature: Signature, outputs: tuple[str, ...], timeout: float | None
    ) -> Callable[..., list[np.ndarray]]:
        # A timeout is part of a callable, so timeouts are rounded up to a power of two of milliseconds.
        milliseconds = 0 if timeout is None else 1 << max(0, int(timeout * 1000) - 1).bit_length()
        key = (signature.name, outputs, milliseconds)
        with self._lock:
            if key in self._callables:
                self._callables.move_to_end(key)
                return self._callables[key]
            feeds = [info.name for info in signature.inputs.values()]
            fetches = [signature.outputs[name].name for name in outputs]
            self._callables[key] = call = _session_callable(self._session, feeds, fetches, milliseconds)
            if len(self._callables) > CALLABLES:
                self._callables.popitem(last=False)
            return call

    def close(self) -> None:
        """Frees the model's memory. Nothing may run on it any more: TensorFlow would cancel that."""
        self._callables.clear()
        self._session.close()


def _session_callable(
    session: Any, feeds: list[str], fetches: list[str], milliseconds: int
) -> Callable[..., list[np.ndarray]]:
    """Returns the function of the feeds' values; by TensorFlow's private way where it is there, 5 times as fast."""
    if make := getattr(session, "_make_callable_from_options", None):
        from tensorflow.core.protobuf import config_pb2

        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        options.run_options.timeout_in_ms = milliseconds
        return make(options)
    run_options = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds)
    return lambda *values: session.run(fetches, dict(zip(feeds, values, strict=True)), options=run_options)


def _without_nodes(message: str) -> str:
    """Returns an error of TensorFlow without the places in the graph, which mean nothing to who asks."""
    return message.partition("\n\t [[")[0].strip()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back TensorFlow's advice that the loader of sessions is an old one."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
