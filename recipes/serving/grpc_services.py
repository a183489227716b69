"""TF Serving's gRPC services (PredictionService, ModelService), health checks, and the server with all of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from recipes.serving import open_inference_grpc
from recipes.serving.grpc_calls import Call, Services, refusal
from recipes.serving.inference import Answer, Inference
from recipes.serving.limits import Limits
from recipes.serving.model_config import models_of
from recipes.serving.models import Models, ModelSpec
from recipes.serving.proto_definitions import message_classes
from recipes.serving.signatures import CLASSIFY
from recipes.serving.status import Code, ServingError, invalid
from recipes.serving.tensor_protos import fill_tensor_proto, to_arrays
from recipes.serving.tokens import check_token

QUICK_PLACES = 16  # for status, metadata and health checks at once, also while the server is full
SPARE_THREADS = 16  # which refuse calls that find no place

HEALTH = message_classes(
    "grpc.health.v1",
    """
    message HealthCheckRequest { string service = 1; }
    message HealthCheckResponse { int32 status = 1; }  // an enum: UNKNOWN = 0, SERVING = 1, NOT_SERVING = 2
    """,
)
SERVING, NOT_SERVING = 1, 2
HEALTH_SERVICES = {
    "",
    "ModelService",
    "PredictionService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
    open_inference_grpc.SERVICE,
}


def grpc_server(
    inference: Inference, limits: Limits, *, tokens: frozenset[str] = frozenset(), allow_reload: bool = False
) -> grpc.Server:
    """Returns a server with TF Serving's services, the Open Inference Protocol's and health checks, not yet started.

    The caller binds its ports (`add_insecure_port("127.0.0.1:8500")` or `"unix:/path"`, `add_secure_port(...)`), starts
    it and stops it: `stop(grace)` refuses new calls and lets those that run finish.

    Args:
        inference: Answers the requests.
        limits: `body_bytes` of a message, decompressed; `requests` that are answered at a time, a request more is
            refused at once with UNAVAILABLE; `timeout` for a request to arrive.
        tokens: One of them is asked of every call but health checks, as the metadata `authorization: Bearer TOKEN`;
            without any, calls need none.
        allow_reload: Whether a client may replace the set of models, by which it can load any folder of this machine.
    """
    services = Services(QUICK_PLACES, limits.timeout)
    server = grpc.server(
        ThreadPoolExecutor(limits.requests + QUICK_PLACES + SPARE_THREADS, thread_name_prefix="grpc"),
        interceptors=(BearerTokens(tokens),) if tokens else (),
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # else a second server on the same port takes half of the calls
        ],
    )
    server.add_generic_rpc_handlers(
        [
            services.handler("tensorflow.serving.PredictionService", prediction_calls(inference, limits)),
            services.handler("tensorflow.serving.ModelService", model_calls(inference.models, allow_reload)),
            services.handler(open_inference_grpc.SERVICE, open_inference_grpc.calls(inference, limits)),
            services.handler(
                "grpc.health.v1.Health", {"Check": Call(HEALTH["HealthCheckRequest"], partial(check, inference.models))}
            ),
        ]
    )
    return server


def prediction_calls(inference: Inference, limits: Limits) -> dict[str, Call]:
    """Returns the calls of tensorflow.serving.PredictionService."""

    def predict(request: predict_pb2.PredictRequest, deadline: float | None) -> predict_pb2.PredictResponse:
        answer = inference.predict(
            model_spec(request),
            request.model_spec.signature_name,
            lambda _: to_arrays(request.inputs, limits),
            outputs=tuple(request.output_filter),
            front="GRPC",
            deadline=deadline,
        )
        response = predict_pb2.PredictResponse(model_spec=answered_spec(answer))
        for name, array in answer.outputs.items():
            fill_tensor_proto(response.outputs[name], array)
        return response

    def classify(
        request: classification_pb2.ClassificationRequest, deadline: float | None
    ) -> classification_pb2.ClassificationResponse:
        answer = inference.classify(*_of_examples(request), front="GRPC", deadline=deadline)
        return classification_pb2.ClassificationResponse(
            result=classifications(answer), model_spec=answered_spec(answer)
        )

    def regress(request: regression_pb2.RegressionRequest, deadline: float | None) -> regression_pb2.RegressionResponse:
        answer = inference.regress(*_of_examples(request), front="GRPC", deadline=deadline)
        return regression_pb2.RegressionResponse(result=regressions(answer), model_spec=answered_spec(answer))

    def multi_inference(
        request: inference_pb2.MultiInferenceRequest, deadline: float | None
    ) -> inference_pb2.MultiInferenceResponse:
        tasks = [(_chosen(task.model_spec), task.model_spec.signature_name, task.method_name) for task in request.tasks]
        response = inference_pb2.MultiInferenceResponse()
        for method, answer in inference.multi_inference(
            tasks, examples_of(request.input), front="GRPC", deadline=deadline
        ):
            result = response.results.add(model_spec=answered_spec(answer))
            if method == CLASSIFY:
                result.classification_result.CopyFrom(classifications(answer))
            else:
                result.regression_result.CopyFrom(regressions(answer))
        return response

    def get_model_metadata(
        request: get_model_metadata_pb2.GetModelMetadataRequest, deadline: float | None
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        spec = model_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with inference.models.using(spec) as served:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in served.engine.signature_defs.items():
                signatures.signature_def[name].CopyFrom(definition)
                signatures.signature_def[name].ClearField("defaults")
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=model_pb2.ModelSpec(name=served.name, version={"value": served.version})
        )
        response.metadata["signature_def"].Pack(signatures)
        return response

    return {
        "Predict": Call(predict_pb2.PredictRequest, predict, inference.admitted_call),
        "Classify": Call(classification_pb2.ClassificationRequest, classify, inference.admitted_call),
        "Regress": Call(regression_pb2.RegressionRequest, regress, inference.admitted_call),
        "MultiInference": Call(inference_pb2.MultiInferenceRequest, multi_inference, inference.admitted_call),
        "GetModelMetadata": Call(get_model_metadata_pb2.GetModelMetadataRequest, get_model_metadata),
    }


def model_calls(models: Models, allow_reload: bool) -> dict[str, Call]:
    """Returns the calls of tensorflow.serving.ModelService."""

    def get_model_status(
        request: get_model_status_pb2.GetModelStatusRequest, deadline: float | None
    ) -> get_model_status_pb2.GetModelStatusResponse:
        spec = model_spec(request)  # TF Serving looks at no label here either: all versions are answered
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in models.statuses(spec.name, spec.version):
            response.model_version_status.add(
                version=status.version,
                state=get_model_status_pb2.ModelVersionStatus.State.Value(status.state),
                status={"error_code": status.code.value, "error_message": status.message},
            )
        return response

    def reload(
        request: model_management_pb2.ReloadConfigRequest, deadline: float | None
    ) -> model_management_pb2.ReloadConfigResponse:
        if not allow_reload:
            raise ServingError(Code.PERMISSION_DENIED, "HandleReloadConfigRequest is switched off on this server")
        models.reload(models_of(request.config))
        return model_management_pb2.ReloadConfigResponse(status={"error_code": Code.OK.value})

    return {
        "GetModelStatus": Call(get_model_status_pb2.GetModelStatusRequest, get_model_status),
        "HandleReloadConfigRequest": Call(model_management_pb2.ReloadConfigRequest, reload),
    }


def check(models: Models, request: Any, deadline: float | None) -> Any:
    """Answers the Check of grpc.health.v1: SERVING once every model has a version that can be asked.

    Watch is not there: each of its streams would hold a thread; clients then fall back to Check.
    """
    if request.service not in HEALTH_SERVICES:
        raise ServingError(Code.NOT_FOUND, f"unknown service {request.service!r}")
    return HEALTH["HealthCheckResponse"](status=SERVING if models.is_ready() else NOT_SERVING)


def model_spec(request: Any) -> ModelSpec:
    """Returns the model that a request is for.

    Raises:
        ServingError: INVALID_ARGUMENT, if it names none.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.model_spec.name:
        raise invalid("ModelSpec has no name specified.")
    return _chosen(request.model_spec)


def _chosen(spec: model_pb2.ModelSpec) -> ModelSpec:
    choice = spec.WhichOneof("version_choice")
    return ModelSpec(
        spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def answered_spec(answer: Answer) -> model_pb2.ModelSpec:
    """Returns what answered a request: always with the version's number, also where a label was asked."""
    return model_pb2.ModelSpec(
        name=answer.name, version={"value": answer.version}, signature_name=answer.signature_name
    )


def _of_examples(request: Any) -> tuple[ModelSpec, str, list[bytes]]:
    return model_spec(request), request.model_spec.signature_name, examples_of(request.input)


def examples_of(examples: input_pb2.Input) -> list[bytes]:
    """Returns the tf.Examples of an Input, serialized; the features of its context, if any, are in each of them.

    Messages joined on the wire are merged: a feature of the example displaces the context's of the same name.
    """
    context = examples.example_list_with_context.context.SerializeToString()
    listed = getattr(examples, examples.WhichOneof("kind") or "example_list")
    return [context + example.SerializeToString() for example in listed.examples]


def classifications(answer: Answer) -> classification_pb2.ClassificationResult:
    """Returns labels and scores of each example; "" and 0 where the signature has no labels or no scores.

    Raises:
        ServingError: INTERNAL, if a label is no UTF-8.
    """
    classes, scores = answer.outputs.get("classes"), answer.outputs.get("scores")
    shape = next(array.shape for array in (classes, scores) if array is not None)
    classes = np.full(shape, b"", object) if classes is None else classes
    scores = np.zeros(shape, np.float32) if scores is None else scores
    result = classification_pb2.ClassificationResult()
    for labels, numbers in zip(classes.tolist(), scores.tolist()):
        row = result.classifications.add().classes
        for label, score in zip(labels, numbers):
            row.add(label=_text(label), score=score)
    return result


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError:
        raise ServingError(Code.INTERNAL, f"the label {label[:80]!r} of the model is no UTF-8") from None


def regressions(answer: Answer) -> regression_pb2.RegressionResult:
    """Returns the value of each example."""
    values = answer.outputs["outputs"].tolist()
    return regression_pb2.RegressionResult(regressions=[{"value": value} for value in values])


class BearerTokens(grpc.ServerInterceptor):
    """Lets calls pass that carry one of some tokens, and health checks; others are answered UNAUTHENTICATED."""

    def __init__(self, tokens: frozenset[str]) -> None:
        self._tokens = tokens

    def intercept_service(
        self, continuation: Callable[[Any], grpc.RpcMethodHandler | None], details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """Returns the call's handler, or one that refuses it."""
        try:
            if not details.method.startswith("/grpc.health.v1.Health/"):
                check_token(dict(details.invocation_metadata).get("authorization"), self._tokens)
        except ServingError as error:
            return refusal(error)
        return continuation(details)
