"""Random and mutated requests against what reads a server's requests: each must be read, or refused as the client's.

    python benchmarks/fuzz_serving.py --requests 400000

A tenth of the bodies are random bytes, a third to a half have changes of bytes or of JSON values, and the others are of
the right form, with tensors of which many contradict themselves. What is read is echoed, so that the writers of answers
meet it too. A refusal is a ServingError, or protobuf's DecodeError of what is no message; anything else is a fault, and
its body is printed and kept.
"""

import argparse
import base64
import gc
import json
import random
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2

from recipes.devices.environment import environment
from recipes.serving import json_examples, json_tensors, open_inference, open_inference_grpc
from recipes.serving.grpc_services import examples_of, prediction_calls
from recipes.serving.http_messages import Request
from recipes.serving.inference import Answer
from recipes.serving.limits import Limits
from recipes.serving.open_inference_messages import MESSAGES
from recipes.serving.open_inference_tensors import DTYPES, to_raw
from recipes.serving.signatures import TensorInfo
from recipes.serving.status import Code, ServingError, invalid
from recipes.serving.tensor_protos import FIELDS, fill_tensor_proto, to_array

LIMITS = Limits(elements=1 << 16, rank=8)
HEADER = "inference-header-content-length"
JSON_DTYPES = [tf.float32, tf.float64, tf.int32, tf.int64, tf.uint8, tf.uint64, tf.bool, tf.string, tf.bfloat16]
ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array([np.nan, np.inf, -0.0]),
    np.array(7, np.int64),
    np.array([[True], [False]]),
    np.array([b"text", b"\xff\x00", b""], object),
    np.ones(2, np.float16),
    np.ones((1, 2), tf.bfloat16.as_numpy_dtype),
    np.array([0, 255], np.uint8),
    np.array([1 << 63], np.uint64),
    np.array([1 + 2j], np.complex64),
    np.zeros((0, 3), np.int32),
]
VALUE_FIELDS = [
    tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name[name] for name in sorted({name for name, _ in FIELDS.values()})
]
CONTENTS_FIELDS = MESSAGES["InferTensorContents"].DESCRIPTOR.fields
UNSIGNED = (4, 13)  # descriptors' numbers of uint64 and uint32
#: What takes the place of a JSON value, beside random ones.
ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    1 << 31,
    1 << 63,
    1 << 64,
    10**400,
    1e308,
    float("nan"),
    "",
    "x",
    "\ud800",
    "YQ=",
    [],
    {},
]
ODD += [
    [[]],
    [[1], 2],
    {"b64": "YQ"},
    {"b64": "?"},
    {"b64": 1},
    "FP32",
    "BYTES",
    "binary_data_size",
    [-1],
    [1 << 40] * 3,
]


class Echo:
    """An inference that answers with its inputs, whatever model and signature are asked."""

    models = SimpleNamespace()
    admitted = admitted_call = None

    @staticmethod
    def predict(spec, signature_name, read, *, outputs=(), front="GRPC", deadline=None):
        """Returns the inputs as outputs; asking for another output, or for one twice, is refused."""
        arrays = dict(read(None))
        if not set(outputs) <= set(arrays) or len(set(outputs)) < len(outputs):
            raise invalid("output tensor alias not found in signature, or asked twice")
        return Answer(spec.name, 1, signature_name, {name: arrays[name] for name in outputs or arrays})


def tensor_proto(array):
    """Returns an array's TensorProto, in either of its two forms."""
    proto = tensor_pb2.TensorProto()
    fill_tensor_proto(proto, array, content=random.random() < 0.5)
    return proto


def some_tensor_proto():
    """Returns a TensorProto: half of them of an array, half of any dtype, shape and values."""
    if random.random() < 0.5:
        return tensor_proto(random.choice(ARRAYS))
    proto = tensor_pb2.TensorProto(dtype=random.randrange(-1, 30))
    for size in random_shape():
        proto.tensor_shape.dim.add().size = size
    if random.random() < 0.3:
        proto.tensor_content = random.randbytes(random.choice([1, 2, 4, 8, 16, 24, 48]))
    for field in random.sample(VALUE_FIELDS, random.randint(0, 2)):
        getattr(proto, field.name).extend(random_values(field))
    return proto


def random_shape():
    """Returns up to three dimensions, of which few are out of all proportion."""
    return [
        random.choice([0, 1, 1, 2, 2, 3, -1, 1 << 20, 1 << 40, (1 << 63) - 1][: random.choice([6, 10])])
        for _ in range(random.randint(0, 3))
    ]


def random_values(field):
    """Returns up to six values of a repeated field of a message."""
    pool = {
        "bytes": [b"", b"a", b"\xff"],
        "float": [0.0, 1.5, float("nan"), float("-inf")],
        "bool": [True, False],
        "int": [0, 1, 127, 255, 65535] + ([] if field.type in UNSIGNED else [-1, -129]),
    }
    kind = {1: "float", 2: "float", 8: "bool", 12: "bytes"}.get(field.type, "int")
    return [random.choice(pool[kind]) for _ in range(random.randint(0, 6))]


def predict_request():
    """Returns the bytes of a PredictRequest of up to three inputs."""
    request = predict_pb2.PredictRequest(model_spec={"name": "m"})
    for name in "xyz"[: random.randint(0, 3)]:
        request.inputs[name].CopyFrom(some_tensor_proto())
    return request.SerializeToString()


def classification_request():
    """Returns the bytes of a ClassificationRequest of up to three examples."""
    request = classification_pb2.ClassificationRequest(model_spec={"name": "m"})
    listed = random.choice([request.input.example_list, request.input.example_list_with_context])
    for number in range(random.randint(0, 3)):
        listed.examples.add().features.feature["x"].float_list.value.append(number)
    return request.SerializeToString()


def infer_input(array):
    """Returns name, shape and datatype of an array as an input of the Open Inference Protocol."""
    name = next((name for name, dtype in DTYPES.items() if dtype == array.dtype), "FP8")
    return {"name": random.choice("xy"), "shape": list(array.shape), "datatype": name}


def infer_message():
    """Returns the bytes of a ModelInferRequest of up to two inputs."""
    request = MESSAGES["ModelInferRequest"](model_name="m")
    for array in random.sample(ARRAYS, random.randint(0, 2)):
        request.inputs.add(**infer_input(array))
        if random.random() < 0.2:
            request.inputs[-1].shape[:] = random_shape()
        if random.random() < 0.5:
            request.raw_input_contents.append(to_raw(array))
        else:
            field = random.choice(CONTENTS_FIELDS)
            getattr(request.inputs[-1].contents, field.name).extend(random_values(field))
    return request.SerializeToString()


def infer_json(binary):
    """Returns the document of an infer request and the binary tensors behind it."""
    inputs, raw = [], b""
    for array in random.sample(ARRAYS, random.randint(0, 2)):
        tensor = infer_input(array)
        if binary and random.random() < 0.8:
            tensor["parameters"] = {"binary_data_size": len(to_raw(array))}
            raw += to_raw(array)
        else:
            flat = array.ravel() if random.random() < 0.5 else array
            tensor["data"] = [text.decode("latin-1") for text in flat] if array.dtype == object else plain(flat)
        inputs.append(tensor)
    document = {"id": "1", "inputs": inputs, "parameters": {"binary_data_output": random.random() < 0.5}}
    if random.random() < 0.3:
        document["outputs"] = [{"name": "x", "parameters": {"binary_data": True}}]
    return document, raw


def plain(array):
    """Returns the elements of an array of numbers as JSON has them."""
    return np.abs(array).tolist() if array.dtype.kind == "c" else array.tolist()


def predict_json():
    """Returns the document of a predict request, in rows or columns."""
    value = plain(random.choice([array for array in ARRAYS if array.dtype.kind != "c" and array.dtype != object]))
    value = random.choice([value, ["a", "b"], {"b64": base64.b64encode(b"a\xff").decode()}, [[{"b64": "YQ=="}]]])
    if random.random() < 0.3:
        value = {"x": value} if random.random() < 0.5 else [{"x": value}] * 2
    return {random.choice(["instances", "inputs"]): value, "signature_name": "s"}


def examples_json():
    """Returns the document of a classify request."""
    values = [1, 1.5, "a", [1, 2], ["a", {"b64": "YQ=="}], True]
    examples = [{"f": random.choice(values), "g": random.choice(values)} for _ in range(random.randint(0, 3))]
    return {"examples": examples} | ({"context": {"f": random.choice(values)}} if random.random() < 0.3 else {})


def changed_json(document):
    """Returns a copy of a document in which a value at a random place is another."""
    if isinstance(document, dict) and document and random.random() < 0.85:
        key = random.choice(list(document))
        return document | {key: changed_json(document[key])} if random.random() < 0.9 else {**document, "new": odd()}
    if isinstance(document, list) and document and random.random() < 0.85:
        place = random.randrange(len(document))
        return [*document[:place], changed_json(document[place]), *document[place + 1 :]]
    return odd()


def odd():
    """Returns a value that is seldom the right one."""
    return random.choice(ODD) if random.random() < 0.9 else nested(random.randint(1, 1500))


def nested(depth):
    """Returns lists in lists."""
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def written(document):
    """Returns a document as JSON."""
    try:
        return json.dumps(document).encode()
    except (RecursionError, ValueError):  # deeper than json writes
        return b"[" * 3000 + b"]" * 3000


def changed_bytes(body):
    """Returns a body with a few bytes changed, left out, put in, or twice there."""
    body = bytearray(body)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(body) + 1)
        kind = random.randrange(5)
        if kind == 0 and place < len(body):
            body[place] = random.choice([0, 1, 127, 128, 255, random.randrange(256)])
        elif kind == 1:
            del body[place : place + random.randint(1, 8)]
        elif kind == 2:
            body[place:place] = random.randbytes(random.randint(1, 8))
        elif kind == 3:
            body[place:place] = body[place : place + 20]
        else:
            del body[place:]
    return bytes(body)


def of_protos(valid: Callable[[], bytes], read: Callable[[bytes], object]) -> Callable[[], tuple[bytes, Callable]]:
    """Returns a function that makes a body of a binary protocol, and what reads it."""

    def make():
        chance = random.random()
        body = random.randbytes(random.randrange(60)) if chance < 0.1 else valid()
        return (changed_bytes(body) if 0.1 <= chance < 0.4 else body), read

    return make


def of_json(valid: Callable[[], object], read: Callable[[bytes], object]) -> Callable[[], tuple[bytes, Callable]]:
    """Returns a function that makes a body in JSON, and what reads it."""

    def make():
        chance, document = random.random(), valid()
        if chance < 0.1:
            return random.randbytes(random.randrange(60)), read
        for _ in range(random.randint(1, 3) if chance < 0.4 else 0):
            document = changed_json(document)
        body = written(document)
        return (changed_bytes(body) if 0.4 <= chance < 0.6 else body), read

    return make


def infer_over_http(header: str | None, body: bytes) -> None:
    """Asks the Open Inference Protocol's REST; raises what the answer is an error for."""
    headers = {} if header is None else {HEADER: header}
    response = open_inference.answer(Echo, LIMITS, Request("POST", "/v2/models/m/infer", headers, body))
    if response.status != 200:
        error = json.loads(response.body)["error"]
        if error.startswith("the request failed"):
            raise AssertionError(error)
        raise ServingError(
            {400: Code.INVALID_ARGUMENT, 500: Code.INTERNAL, 501: Code.UNIMPLEMENTED}[response.status], error
        )


def binary_infer():
    """Returns the body of an infer request with binary tensors, changed or not, and what reads it."""
    document, raw = infer_json(binary=True)
    chance = random.random()
    if chance < 0.3:
        document = changed_json(document)
    body = written(document)
    length = len(body) + (random.randint(-3, 3) if random.random() < 0.1 else 0)
    header = random.choice(["", "x", "-1", "9" * 20, "٣"]) if random.random() < 0.05 else str(length)
    raw = changed_bytes(raw) if 0.3 <= chance < 0.6 else raw
    return body + raw, lambda sent: infer_over_http(header, sent)


def read_predict_json(body):
    """Reads a predict request for a signature of random inputs, and writes what was read as the answer."""
    names, dtypes = random.choice(["x", "x", "x", "xy"]), random.choice([JSON_DTYPES, [tf.float32], [tf.string]])
    infos = {name: TensorInfo(f"{name}:0", random.choice(dtypes), None) for name in names}
    request = json_tensors.parse_predict(body, LIMITS)
    json_tensors.encode(json_tensors.decode(request, infos, LIMITS), request.format)


def codecs():
    """Returns name -> function that makes a body and what reads it."""
    predict = prediction_calls(Echo, LIMITS)["Predict"]
    infer = open_inference_grpc.calls(Echo, LIMITS)["ModelInfer"]

    def read_tensor(body):
        tensor_proto(to_array("x", tensor_pb2.TensorProto.FromString(body), LIMITS))

    return {
        "TensorProto": of_protos(lambda: some_tensor_proto().SerializeToString(), read_tensor),
        "gRPC Predict": of_protos(
            predict_request, lambda body: predict.answer(predict.request.FromString(body), None).SerializeToString()
        ),
        "gRPC Classify": of_protos(
            classification_request,
            lambda body: examples_of(classification_pb2.ClassificationRequest.FromString(body).input),
        ),
        "gRPC ModelInfer": of_protos(
            infer_message, lambda body: infer.answer(infer.request.FromString(body), None).SerializeToString()
        ),
        "infer, JSON": of_json(lambda: infer_json(binary=False)[0], lambda body: infer_over_http(None, body)),
        "infer, binary": binary_infer,
        "predict, JSON": of_json(predict_json, read_predict_json),
        "classify, JSON": of_json(
            examples_json,
            lambda body: json_examples.decode_examples(json_tensors.parse_object(body, LIMITS), "classify"),
        ),
    }


def fuzz(make, requests, end):
    """Returns counts of outcomes, the faults, and the slowest request in seconds of processor time."""
    outcomes, faults, slowest = Counter(), [], 0.0
    for _ in range(requests):
        if time.monotonic() > end:
            break
        body, read = make()
        start = time.thread_time()
        try:
            read(body)
            outcome = "read"
        except ServingError as error:
            outcome = error.code.name
        except DecodeError:
            outcome = "no message"
        except Exception as error:
            outcome = "FAULT"
            faults.append({"body": body[:2000].hex(), "error": repr(error)})
            if len(faults) < 4:
                traceback.print_exc()
                print(body[:500])
        slowest = max(slowest, time.thread_time() - start)
        outcomes[outcome] += 1
    return outcomes, faults, slowest


def main() -> None:
    """Fuzzes all codecs, prints and writes benchmarks/results/fuzz_serving.json; status 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400_000, help="of all codecs together")
    parser.add_argument("--seconds", type=float, default=600, help="after which it ends, however many were made")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    makers, start = codecs(), time.monotonic()
    result = {
        "command": f"python benchmarks/fuzz_serving.py --requests {args.requests} --seed {args.seed}",
        "date": time.strftime("%Y-%m-%d"),
        **environment(),
        "codecs": {},
    }
    gc.collect()
    gc.freeze()  # as the server does
    faults = []
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for place, (name, make) in enumerate(makers.items(), 1):
        end = start + args.seconds * place / len(makers)
        outcomes, of_codec, slowest = fuzz(make, -(-args.requests // len(makers)), end)
        faults += [{"codec": name, **fault} for fault in of_codec]
        result["codecs"][name] = dict(outcomes.most_common()) | {"slowest_processor_ms": round(slowest * 1000, 1)}
        print(f"{name}: {result['codecs'][name]}")
    totals = [
        count
        for counts in result["codecs"].values()
        for outcome, count in counts.items()
        if outcome != "slowest_processor_ms"
    ]
    result |= {
        "requests": sum(totals),
        "faults": len(faults),
        "seconds": round(time.monotonic() - start, 1),
        "memory_grown_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024, 1),
        "first_faults": faults[:10],
    }
    print({key: result[key] for key in ("requests", "faults", "seconds", "memory_grown_mb")})
    (Path(__file__).parent / "results" / "fuzz_serving.json").write_text(json.dumps(result, indent=2) + "\n")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
