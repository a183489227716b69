"""A SavedModel in memory, ready to be asked.

It runs in a TensorFlow session, the code path of TensorFlow Serving: the same kernels and errors, only the part of the
graph that the wanted outputs need, and models of TensorFlow 1 too.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.serving.saved_model_files import check_operations, read_meta_graph
from recipes.serving.signatures import Signature, signatures_of
from recipes.serving.status import Code, ServingError

MOST_SETS = 16  # of outputs, for each signature, that are computed by themselves

Plan = tuple[dict[str, Any], list[Any]]  # what is fed, by the input's name, and what is fetched
Call = Callable[[Mapping[Any, np.ndarray], list[Any], int], list[np.ndarray]]  # (fed, fetched, milliseconds)


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
        self._call, self._handle = _quick_call(self._session)
        self._plans: dict[tuple[str, tuple[str, ...]], Plan] = {}

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
        if (plan := self._plan_of(signature, wanted)) is None:
            everything = self.run(signature, inputs, (), timeout)
            return {name: everything[name] for name in wanted}
        feeds, fetches = plan
        values = {feed: inputs[name] for name, feed in feeds.items()}
        try:
            results = self._call(values, fetches, 0 if timeout is None else max(1, round(timeout * 1000)))
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), _without_nodes(error.message)) from None
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # a feed that TensorFlow does not take
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from None
        return dict(zip(wanted, results, strict=True))

    def _plan_of(self, signature: Signature, outputs: tuple[str, ...]) -> Plan | None:
        """Returns what is fed and fetched; None for one set of outputs too many.

        TensorFlow prepares the part of the graph for each set that is asked for, in seconds, and keeps it: clients may
        not choose any number of them.
        """
        key = (signature.name, outputs)
        if key not in self._plans:
            chosen = [of_outputs for name, of_outputs in list(self._plans) if name == signature.name]
            if len(chosen) >= MOST_SETS and len(outputs) < len(signature.outputs):
                return None
            tensor = self._session.graph.get_tensor_by_name
            feeds = {name: self._handle(tensor(info.name)) for name, info in signature.inputs.items()}
            self._plans[key] = feeds, [self._handle(tensor(signature.outputs[name].name)) for name in outputs]
        return self._plans[key]

    def close(self) -> None:
        """Frees the model's memory. Nothing may run on it any more: TensorFlow would cancel that."""
        self._plans.clear()
        self._session.close()


def _quick_call(session: Any) -> tuple[Call, Callable[[tf.Tensor], Any]]:
    """Returns (how to run a session, what it takes for a tensor).

    TensorFlow's private way where it is there, else `Session.run`, which takes some 0.2 ms more for the same.
    """
    try:
        from tensorflow.python.client import pywrap_tf_session as private

        session._extend_graph()
        run, handle = private.TF_SessionRun_wrapper, operator.methodcaller("_as_tf_output")
        buffer, free = private.TF_NewBufferFromString, private.TF_DeleteBuffer
    except (ImportError, AttributeError):
        return _plain_call(session), lambda tensor: tensor

    def call(feeds: Mapping[Any, np.ndarray], fetches: list[Any], milliseconds: int) -> list[np.ndarray]:
        options = buffer(tf.compat.v1.RunOptions(timeout_in_ms=milliseconds).SerializeToString())
        try:
            return run(session._session, options, feeds, fetches, [], None)
        finally:
            free(options)

    return call, handle


def _plain_call(session: Any) -> Call:
    def call(feeds: Mapping[Any, np.ndarray], fetches: list[Any], milliseconds: int) -> list[np.ndarray]:
        return session.run(fetches, feeds, options=tf.compat.v1.RunOptions(timeout_in_ms=milliseconds))

    return call


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
