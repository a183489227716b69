"""Requests that a new version answers before anyone else may ask it, so that nobody waits for its first run."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from recipes.serving.engine import Engine
from recipes.serving.limits import Limits
from recipes.serving.metrics import Metrics
from recipes.serving.signatures import DEFAULT
from recipes.serving.status import Code, ServingError, invalid

log = logging.getLogger(__name__)

WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"
MOST = 1000  # records


def warm_up(engine: Engine, limits: Limits, metrics: Metrics | None = None) -> int:
    """Answers the requests of a version's warm-up file, a TFRecord of PredictionLog, and returns how many there are.

    Raises:
        ServingError: The file cannot be read, or one of its requests fails: the version should not be served.
    """
    path = engine.path / WARMUP
    if not path.is_file():
        return 0
    start, count = time.perf_counter(), 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > MOST:
                raise invalid(f"Number of warmup records exceeds the maximum ({MOST}): {path}")
            _replay(engine, record, limits)
    except tf.errors.DataLossError as error:
        raise ServingError(
            Code.DATA_LOSS,
            f"{path}: {error.message}. Please verify your warmup data is in TFRecord format.",
        ) from None
    if metrics:
        microseconds = (time.perf_counter() - start) * 1e6
        metrics.observe("model_warmup_latency", microseconds, model_path=str(engine.path), status="OK")
        metrics.count("model_warmup_records_read", count, model_path=str(engine.path))
    return count


def _replay(engine: Engine, record: bytes, limits: Limits) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    from recipes.serving.tensor_protos import to_array

    log = prediction_log_pb2.PredictionLog()
    try:
        log.ParseFromString(record)
    except DecodeError:
        raise invalid(f"Failed to parse warmup record: {record[:40]!r} of {engine.path}") from None
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {name: to_array(name, tensor, limits) for name, tensor in request.inputs.items()}
        _run(engine, limits, request.model_spec.signature_name, inputs)
    elif kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        _run(engine, limits, request.model_spec.signature_name, _examples_of(request.input))
    elif kind == "multi_inference_log":
        request = log.multi_inference_log.request
        for task in request.tasks:
            _run(engine, limits, task.model_spec.signature_name, _examples_of(request.input))
    else:
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def _examples_of(request_input: object) -> dict[str, np.ndarray]:
    from recipes.serving.grpc_services import examples_of

    return {"inputs": np.array(examples_of(request_input), object)}


def _run(engine: Engine, limits: Limits, name: str, inputs: dict[str, np.ndarray]) -> None:
    signature = engine.signatures.get(name or DEFAULT)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f"warm-up of {engine.path}: there is no signature {name!r}")
    missing = set(signature.inputs) - set(inputs) - set(signature.defaults)
    if missing or set(inputs) - set(signature.inputs):
        raise invalid(
            f"warm-up of {engine.path}: {signature.name} takes {sorted(signature.inputs)}; got {sorted(inputs)}"
        )
    try:
        engine.run(signature, {**signature.defaults, **inputs}, timeout=limits.timeout)
    except ServingError as error:
        if error.code != Code.DEADLINE_EXCEEDED:
            raise
        log.warning("warm-up of %s: %s took more than %g s", engine.path, signature.name, limits.timeout)
