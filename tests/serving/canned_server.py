"""Models that answer at once and always the same, behind the real page: what the page shows is known beforehand."""

import base64
import json
import struct
import threading
import time
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote

import tensorflow as tf

from recipes.serving import openapi, page
from recipes.serving.http_messages import Request
from recipes.serving.limits import Limits
from recipes.serving.models import ModelSpec, VersionStatus
from recipes.serving.signatures import CLASSIFY, PREDICT, Signature, TensorInfo
from recipes.serving.status import Code, ServingError

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
TOKEN = "secret"


def signature(inputs, outputs, method=PREDICT):
    """Returns a Signature of {"name": (dtype, shape)}."""
    infos = [
        {name: TensorInfo(f"{name}:0", *tensor) for name, tensor in sorted(some.items())} for some in (inputs, outputs)
    ]
    return Signature("", *infos, method, {})


STRINGS, FLOATS, INTS = (tf.string, (None,)), (tf.float32, (None,)), (tf.int32, (None,))
IMAGE = {"image_bytes": STRINGS}
CLASSES = {"label": STRINGS, "probability": FLOATS, "probabilities": (tf.float32, (None, 10))}
CAPTION = {
    "caption": STRINGS,
    "log_probability": FLOATS,
    "words": (tf.string, (None, None)),
    "attention": (tf.float32, (None, None, 8, 8)),
}
SAMPLING = {"prompt": STRINGS, "length": INTS, "temperature": FLOATS, "top_k": INTS, "top_p": FLOATS, "seed": INTS}
PIECES = (tf.string, (None, None))

SIGNATURES = {
    "digits": {
        "serving_default": signature(IMAGE, CLASSES),
        "image": signature({"image": (tf.float32, (None, 28, 28, 1))}, CLASSES),
        "classify": signature({"inputs": STRINGS}, {"classes": PIECES, "scores": (tf.float32, (None, 10))}, CLASSIFY),
    },
    "reviews": {"serving_default": signature({"text": STRINGS}, CLASSES | {"known_words": INTS})},
    "captions": {"serving_default": signature(IMAGE, CAPTION)},
    "translations": {
        "serving_default": signature({"text": STRINGS}, {"translation": STRINGS, "log_probability": FLOATS}),
        "alignment": signature(
            {"text": STRINGS},
            {
                "translation": STRINGS,
                "source_pieces": PIECES,
                "target_pieces": PIECES,
                "attention": (tf.float32, (None, None, None)),
            },
        ),
    },
    "plays": {
        "serving_default": signature({"prompt": STRINGS}, {"text": STRINGS}),
        "generate": signature(SAMPLING, {"text": STRINGS}),
    },
    "faces": {
        "serving_default": signature(
            {"seed": (tf.int64, (None,))}, {"image_bytes": STRINGS, "image": (tf.float32, (None, 16, 16, 3))}
        )
    },
    "codes": {
        "serving_default": signature(
            IMAGE, {"code": (tf.float32, (None, 4)), "image": (tf.float32, (None, 28, 28, 1))}
        ),
        "decode": signature({"code": (tf.float32, (None, 4))}, {"image": (tf.float32, (None, 28, 28, 1))}),
    },
    "words": {
        "serving_default": signature(
            {"word": STRINGS},
            {"vector": (tf.float32, (None, 8)), "neighbours": PIECES, "similarity": (tf.float32, (None, 10))},
        )
    },
    "tags": {
        "serving_default": signature({"text": STRINGS}, {"labels": PIECES, "probabilities": (tf.float32, (None, 3))})
    },
    "prices": {
        "serving_default": signature({"x": (tf.bool, (None,)), "y": INTS}, {"value": FLOATS}),
        "regress": signature({"inputs": STRINGS}, {"outputs": FLOATS}),
    },
    "half_plus_two": {"serving_default": signature({"x": (tf.float32, None)}, {"y": (tf.float32, None)})},
    HOSTILE: {HOSTILE: signature({HOSTILE: (tf.float32, (None, 2))}, {HOSTILE: STRINGS})},
    "broken": {},
}
DIGITS = [str(digit) for digit in range(10)]
MANIFESTS = {
    "digits": {
        "kind": "image classification",
        "label_names": DIGITS,
        "image_shape": [28, 28, 1],
        "data": {"name": "digits", "stand_in_for": "mnist"},
        "test": {"accuracy": 0.9731},
        "sha256": {"saved_model.pb": "0"},
    },
    "tags": {"kind": "text_classification", "label_names": ["a", "b", "c"]},
    "reviews": {"kind": "text classification", "label_names": ["negative", HOSTILE], "data": {"name": "imdb_reviews"}},
}


class Models:
    """Stands in for recipes.serving.models.Models."""

    def names(self):
        return sorted(SIGNATURES)

    def labels(self, name):
        return {"stable": 1, HOSTILE: 2} if name == "digits" else {}

    def statuses(self, name, version=None):
        if name == "broken":
            message = f"/models/broken/1 cannot be loaded: {HOSTILE} is no SavedModel"
            return [VersionStatus(1, "END", Code.UNKNOWN, message)]
        newest = VersionStatus(2, "AVAILABLE", Code.OK, "")
        return [newest, VersionStatus(1, "AVAILABLE" if name == "digits" else "END", Code.OK, "")]

    @contextmanager
    def using(self, spec: ModelSpec):
        if not SIGNATURES[spec.name]:
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {spec}")
        engine = SimpleNamespace(signatures=SIGNATURES[spec.name])
        yield SimpleNamespace(name=spec.name, version=2, engine=engine, manifest=MANIFESTS.get(spec.name))


INFERENCE = SimpleNamespace(models=Models())


def png(rows):
    """Returns the bytes of a PNG of (H, W, 3) numbers."""
    data = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def gradient(height, width, seed=0):
    """Returns (H, W, 3) numbers in [0, 255]."""
    return [
        [[255 * y // height, 255 * x // width, (60 * seed + 40) % 256] for x in range(width)] for y in range(height)
    ]


def digit_answer(_):
    shares = [0.012, 0.004, 0.021, 0.8712, 0.003, 0.0511, 0.002, 0.008, 0.0187, 0.009]
    return {"label": "3", "probability": 0.8712, "probabilities": shares}


def caption_answer(_):
    words = ["a", "red", "square", "above", "a", HOSTILE, "", ""]
    centres = [(1, 2), (2, 2), (2, 3), (4, 4), (5, 4), (6, 5), (0, 0), (0, 0)]
    attention = [
        [[(word and 0.2 / (1 + (y - cy) ** 2 + (x - cx) ** 2)) or 0.0 for x in range(8)] for y in range(8)]
        for word, (cy, cx) in zip(words, centres, strict=True)
    ]
    return {"caption": " ".join(words).strip(), "log_probability": -3.2, "words": words, "attention": attention}


def alignment_answer(row):
    source = [*(row if isinstance(row, str) else row["text"]).split(), "(end)", ""]
    target = ["Ein", "Hund", "läuft", "im", "Schnee", ".", "(end)", ""]
    attention = [[0.9 if i == j else 0.1 / len(source) for j in range(len(source))] for i in range(len(target))]
    translation = "Ein Hund läuft im Schnee."
    return {
        "translation": translation,
        "source_pieces": source,
        "target_pieces": target,
        "attention": attention,
    }


def generate_answer(row):
    time.sleep(0.05)
    if row["seed"] == 17:
        raise ValueError("17 is not lucky")
    return {"text": row["prompt"] + f"{row['seed']:>3} {'and so on ' * 9}"[: row["length"]]}


def face_answer(row):
    pixels = gradient(16, 16, row["seed"])
    return {"image_bytes": {"b64": base64.b64encode(png(pixels)).decode()}, "image": pixels}


def word_answer(row):
    word = row["word"]
    known = word != "qwxz"
    names = [f"{word}{i}" for i in range(9)] + [HOSTILE] if known else [""] * 10
    return {"vector": [0.1] * 8, "neighbours": names, "similarity": [0.9 - 0.05 * i if known else 0 for i in range(10)]}


def code_image(_):
    return [[[255 - value[0]] for value in row] for row in gradient(28, 28)]


ANSWERS = {
    "digits": digit_answer,
    "reviews": lambda row: {
        "label": HOSTILE,
        "probability": 0.94,
        "probabilities": [0.06, 0.94],
        "known_words": 0 if "qwxz" in row["text"] else len(row["text"].split()),
    },
    "captions": caption_answer,
    "translations": alignment_answer,
    "plays": generate_answer,
    "faces": face_answer,
    "codes": lambda row: {"code": [0.5] * 4, "image": code_image(row)} if "image_bytes" in row else code_image(row),
    "words": word_answer,
    "tags": lambda row: {"labels": ["a", "", "c"], "probabilities": [0.7, 0.2, 0.9]},
    "prices": lambda row: row["y"] + 0.5 * row["x"],
}


def predict(name, body):
    """Returns what a model answers to a request's body in the row format."""
    if name == "half_plus_two":
        return {"outputs": [x / 2 + 2 for x in body["inputs"]["x"]]}
    if name not in ANSWERS:
        raise ValueError(f"{HOSTILE} failed")
    answers = [ANSWERS[name](row) for row in body["instances"]]
    if body.get("signature_name") == "generate" or (name == "plays"):
        answers = [one["text"] for one in answers]
    return {"predictions": answers}


class Handler(BaseHTTPRequestHandler):
    """GETs go to the page, POSTs to the canned answers; with a token in `server.token`, as a server may ask for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path not in page.FILES and self.is_refused():
            return
        request = Request("GET", self.path, {})
        response = page.answer(INFERENCE, Limits(), request) or openapi.answer(INFERENCE, Limits(), request)
        if response is None:
            self.send(404, b"{}")
        else:
            self.send(response.status, response.body, response.content_type, response.headers)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.is_refused():
            return
        self.server.posts.append((self.path, body))
        name, _, method = unquote(self.path.removeprefix("/v1/models/")).rpartition(":")
        try:
            if method == "classify":
                content = {"results": [[["seven", 0.75], ["one", 0.25]]]}
            elif method == "regress":
                content = {"results": [42.5]}
            else:
                content = predict(name.partition("/")[0] if name != HOSTILE else name, body)
            self.send(200, json.dumps(content, indent=4).encode())
        except Exception as error:
            self.send(400, json.dumps({"error": str(error)}).encode())

    def is_refused(self):
        if self.server.token and self.headers["Authorization"] != f"Bearer {self.server.token}":
            self.send(401, json.dumps({"error": "a bearer token is required"}).encode())
            return True
        return False

    def send(self, status, body, content_type="application/json", headers=()):
        self.send_response(status)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serve(port=0):
    """Yields a running server: `.url`, `.posts` [(path, body)], `.token`."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads, server.posts, server.token = True, [], ""
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
