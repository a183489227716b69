"""Asking the models: one path for every front, whatever protocol a request came by."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from recipes.serving.image_sizes import check_images
from recipes.serving.limits import Limits
from recipes.serving.metrics import Metrics
from recipes.serving.models import Models, ModelSpec, Served
from recipes.serving.signatures import CLASSIFY, DEFAULT, REGRESS, Signature
from recipes.serving.status import Code, ServingError, invalid

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

LONGEST = 3600.0  # seconds that a client may ask a request to take


class Answer(NamedTuple):
    """What a model answered."""

    name: str
    version: int
    signature_name: str
    outputs: Arrays


class Inference:
    """Asks models for all the fronts of a server.

    Args:
        models: Those that are served.
        limits: What a request may ask for.
        metrics: Where counts and durations go.
    """

    def __init__(self, models: Models, limits: Limits | None = None, metrics: Metrics | None = None) -> None:
        self.models = models
        self.limits = limits or Limits()
        self.metrics = metrics or Metrics()
        self.is_closing = False  # no new call of gRPC is taken
        self._free = threading.BoundedSemaphore(self.limits.requests)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds one of the server's places for the time of a request.

        Raises:
            ServingError: UNAVAILABLE, at once, where as many as `limits.requests` are at work or waiting.
        """
        self.admit()
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def admitted_call(self) -> Iterator[None]:
        """As `admitted`, for gRPC, whose own shutdown would cancel calls that it has not looked at yet.

        Raises:
            ServingError: UNAVAILABLE, also of a server on its way out.
        """
        if self.is_closing:
            raise ServingError(Code.UNAVAILABLE, "the server is on its way out; ask another, or later")
        with self.admitted():
            yield

    def admit(self) -> None:
        """Takes a place, as `admitted` does; `release` gives it back."""
        if not self._free.acquire(blocking=False):
            message = f"the server is at work on {self.limits.requests} requests and takes no more; ask again later"
            raise ServingError(Code.UNAVAILABLE, message)

    def release(self) -> None:
        """Gives a place back."""
        self._free.release()

    def predict(
        self,
        spec: ModelSpec,
        signature_name: str,
        read: Callable[[Signature], Mapping[str, np.ndarray]],
        *,
        outputs: Sequence[str] = (),
        front: str = "GRPC",
        deadline: float | None = None,
    ) -> Answer:
        """Returns what a signature answers.

        Args:
            spec: Which model.
            signature_name: "": the default one.
            read: Returns the request's inputs, by name, for a signature; texts as object arrays of bytes.
            outputs: The names of those that are wanted; none: all.
            front: "REST" or "GRPC", for the metrics.
            deadline: On time.monotonic's clock.

        Raises:
            ServingError: The model, the signature, an input or an output is not there or not as it should be, or the
                model itself refuses them.
        """
        start = time.perf_counter()
        with self._counted(spec.name), self.models.using(spec) as served:
            signature = _signature_of(served, signature_name, front)
            inputs = dict(read(signature))
            _check_inputs(signature, inputs)
            wanted = _check_outputs(signature, outputs)
            result = self._run(served, signature, inputs, wanted, deadline, "predict", front)
        self._took("predict", front, spec.name, start)
        return Answer(served.name, served.version, signature.name, result)

    def classify(
        self,
        spec: ModelSpec,
        signature_name: str,
        examples: Sequence[bytes],
        *,
        front: str = "GRPC",
        deadline: float | None = None,
    ) -> Answer:
        """Returns "classes", (N, C) object array of bytes, and "scores", (N, C) float32, or one of them.

        Args:
            spec: Which model.
            signature_name: "": the default one.
            examples: N serialized tf.Examples.
            front: As of `predict`.
            deadline: As of `predict`.

        Raises:
            ServingError: As of `predict`, or the signature does not classify.
        """
        return self._ask_examples(CLASSIFY, spec, signature_name, examples, front, deadline)

    def regress(
        self,
        spec: ModelSpec,
        signature_name: str,
        examples: Sequence[bytes],
        *,
        front: str = "GRPC",
        deadline: float | None = None,
    ) -> Answer:
        """Returns "outputs", (N,) float32; the arguments and errors are those of `classify`."""
        return self._ask_examples(REGRESS, spec, signature_name, examples, front, deadline)

    def multi_inference(
        self,
        tasks: Sequence[tuple[ModelSpec, str, str]],
        examples: Sequence[bytes],
        *,
        front: str = "GRPC",
        deadline: float | None = None,
    ) -> list[tuple[str, Answer]]:
        """Returns (method name, answer) of several signatures of one model on the same examples, of one version.

        Args:
            tasks: (model, signature name, method name) of each.
            examples: N serialized tf.Examples.
            front: As of `predict`.
            deadline: As of `predict`.

        Raises:
            ServingError: As of `classify`; also where the tasks are of several models, or name a signature twice.
        """
        if not tasks:
            raise invalid("Inference request has no tasks")
        spec, asked = tasks[0][0], set()
        for one, signature_name, method in tasks:
            if not one.name:
                raise invalid("Found ModelSpec with an empty model name.")
            if one.name != spec.name:
                raise invalid(f"All ModelSpecs in a MultiInferenceRequest must access the same model name: {one.name}")
            if (signature_name or DEFAULT) in asked:
                raise invalid(f"Duplicate evaluation of signature: {signature_name or DEFAULT}")
            asked.add(signature_name or DEFAULT)
            if method not in (CLASSIFY, REGRESS):
                raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
        answers = []
        with self._counted(spec.name), self.models.using(spec) as served:
            for _, signature_name, method in tasks:
                if (signature_name or DEFAULT) not in served.engine.signatures:
                    raise invalid(f"Requested signature not found in model graph: {signature_name or DEFAULT}")
                answers.append((method, self._answer(served, method, signature_name, examples, front, deadline)))
        return answers

    def _ask_examples(
        self,
        method: str,
        spec: ModelSpec,
        signature_name: str,
        examples: Sequence[bytes],
        front: str,
        deadline: float | None,
    ) -> Answer:
        start = time.perf_counter()
        with self._counted(spec.name), self.models.using(spec) as served:
            answer = self._answer(served, method, signature_name, examples, front, deadline)
        self._took(method.rpartition("/")[2], front, spec.name, start)
        return answer

    def _answer(
        self,
        served: Served,
        method: str,
        signature_name: str,
        examples: Sequence[bytes],
        front: str,
        deadline: float | None,
    ) -> Answer:
        signature = served.engine.signatures.get(signature_name or DEFAULT)
        if signature is None:
            raise invalid(f"No signature was found with the name: {signature_name or DEFAULT}")
        name = _check_example_signature(signature, method)
        if not examples:
            raise invalid("Input is empty.")
        inputs = {name: np.array(list(examples), object)}
        api = method.rpartition("/")[2]
        outputs = self._run(served, signature, inputs, (), deadline, api, front)
        self.metrics.count("request_example_count_total", len(examples), model=served.name)
        check = _checked_classes if method == CLASSIFY else _checked_values
        return Answer(served.name, served.version, signature.name, check(outputs, len(examples)))

    def _run(
        self,
        served: Served,
        signature: Signature,
        inputs: Arrays,
        outputs: Sequence[str],
        deadline: float | None,
        api: str,
        front: str,
    ) -> Arrays:
        for name, value in inputs.items():
            if value.dtype == object:
                check_images(name, value, self.limits.image_pixels)
        timeout = self.limits.timeout if deadline is None else min(LONGEST, deadline - time.monotonic())
        if timeout <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, "the request's time was over before the model was asked")
        start = time.perf_counter()
        result = served.run(signature, inputs, outputs, timeout)
        microseconds = (time.perf_counter() - start) * 1e6
        self.metrics.observe(
            "runtime_latency", microseconds, model_name=served.name, API=_api(api, front), runtime="TF2"
        )
        return result

    def _took(self, api: str, front: str, name: str, start: float) -> None:
        self.metrics.observe(
            "request_latency",
            (time.perf_counter() - start) * 1e6,
            model_name=name,
            API=_api(api, front),
            entrypoint=front,
        )

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        """Counts a request by its status; turns an error that nobody foresaw into one that tells no secrets."""
        code = Code.OK
        try:
            yield
        except ServingError as error:
            code = error.code
            raise
        except Exception:
            code = Code.INTERNAL
            log.exception("a request to %s failed", name)
            raise ServingError(Code.INTERNAL, "the server failed; its log says how") from None
        finally:
            if code != Code.NOT_FOUND:  # names of models that are not there are anyone's to choose
                self.metrics.count("request_count", model_name=name, status=code.name)


def _api(api: str, front: str) -> str:
    return api if front == "REST" else api.capitalize()


def _signature_of(served: Served, name: str, front: str) -> Signature:
    signature = served.engine.signatures.get(name or DEFAULT)
    if signature is None:
        known = ", ".join(served.engine.signatures)
        if front == "REST":
            raise invalid(f'Serving signature name: "{name or DEFAULT}" not found in signature def. Known: {known}')
        raise ServingError(
            Code.FAILED_PRECONDITION, f'Serving signature key "{name or DEFAULT}" not found. Known: {known}'
        )
    return signature


def _check_inputs(signature: Signature, inputs: Arrays) -> None:
    """Checks names and dtypes; takes the defaults of those left out. Shapes are the model's own to refuse."""
    missing = sorted(set(signature.inputs) - set(inputs) - set(signature.defaults))
    extra = sorted(set(inputs) - set(signature.inputs))
    if extra or missing:
        if len(inputs) == len(signature.inputs):
            name = missing[0] if missing else extra[0]
            feed = f"(feed name: {signature.inputs[name].name})" if name in signature.inputs else ""
            raise invalid(
                f"Signature input alias: {name}{feed} not found in request and no default value provided. "
                f"Inputs expected to be in the set {_set(signature.inputs)}; got {_set(inputs)}"
            )
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} len({_set(inputs)}) != "
            f"len({_set(signature.inputs)}). Sent extra: {_set(extra)}. Missing but required: {_set(missing)}."
        )
    for name, info in signature.inputs.items():
        value = inputs.setdefault(name, signature.defaults.get(name))  # type: ignore[arg-type]
        dtype = tf.string if value.dtype == object else tf.dtypes.as_dtype(value.dtype)
        if dtype != info.dtype:
            got = info._replace(dtype=dtype).type_name
            raise invalid(f"Expected {name!r} to be {info.type_name} but {got} is provided")


def _check_outputs(signature: Signature, outputs: Sequence[str]) -> Sequence[str]:
    for place, name in enumerate(outputs):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_set(signature.outputs)}."
            )
        if name in outputs[:place]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return outputs


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(names) + "}"


def _check_example_signature(signature: Signature, method: str) -> str:
    """Returns the input that takes the examples."""
    if len(signature.inputs) != 1:
        raise invalid(f"Expected one input Tensor. Got {_set(signature.inputs)}")
    [name] = signature.inputs
    if name != "inputs":
        raise invalid(f"No classification or regression inputs found in SignatureDef: {_set(signature.inputs)}")
    if signature.inputs[name].dtype != tf.string:
        raise invalid(f"Expected {name!r} to be {signature.inputs[name].type_name} but string is provided")
    if method == CLASSIFY:
        if not 1 <= len(signature.outputs) <= 2 or not set(signature.outputs) <= {"classes", "scores"}:
            raise invalid(
                f"Expected classification signature outputs to be keyed classes or scores; got "
                f"{_set(signature.outputs)}"
            )
    elif set(signature.outputs) != {"outputs"}:
        raise invalid(f"Expected one regression output keyed outputs; got {_set(signature.outputs)}")
    return name


def _checked_classes(outputs: Arrays, count: int) -> Arrays:
    for name, value in outputs.items():
        if name == "classes" and value.dtype != object:
            raise invalid(f"Expected classes Tensor of DT_STRING. Got: {value.dtype}")
        if name == "scores" and value.dtype != np.float32:
            raise invalid(f"Expected scores Tensor of DT_FLOAT. Got: {value.dtype}")
        if value.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {list(value.shape)} in {name}")
        if len(value) != count:
            raise invalid(f"Expected {name} batch size of {count}. Got: {len(value)}")
    if len({value.shape[1] for value in outputs.values()}) != 1:
        raise invalid("Tensors class and score should match in dim_size(1)")
    return outputs


def _checked_values(outputs: Arrays, count: int) -> Arrays:
    value = outputs["outputs"]
    if value.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT. Got: {value.dtype}")
    if value.ndim not in (1, 2) or (value.ndim == 2 and value.shape[1] != 1):
        raise invalid(f"Expected output Tensor shape to be [batch_size] or [batch_size, 1]. Got {list(value.shape)}")
    if len(value) != count:
        raise invalid(f"Expected output batch size to be {count}. Got: {len(value)}")
    return {"outputs": value.reshape(-1)}
