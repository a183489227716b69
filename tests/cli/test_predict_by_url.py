"""`recipes predict --url` against a real server of tiny models, and against one that answers oddly."""

import csv
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tensorflow as tf

from recipes.cli import main
from recipes.serving import client
from recipes.serving.limits import Limits
from recipes.serving.model_config import ModelConfig
from recipes.serving.options import Options
from recipes.serving.server import Server

LABELS = ("cat", "dog")
NOTE = "it has no word that the model knows"


class Images(tf.Module):
    """Knows a cat and a dog by the length of their files; any that begins with "torn" is an error."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def answer(self, image_bytes):
        fine = tf.logical_not(tf.strings.regex_full_match(image_bytes, "torn.*"))
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(fine), ["an image cannot be read here"])]):
            index = tf.strings.length(image_bytes) % 2
        probabilities = tf.gather([[0.7, 0.3], [0.1, 0.9]], index)
        return {
            "probability": tf.reduce_max(probabilities, 1),
            "probabilities": probabilities,
            "label": tf.gather(tf.constant(LABELS), index),
        }


class Texts(tf.Module):
    """Says how long a text is; it knows no "qwzx"."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def answer(self, text):
        known = tf.where(tf.strings.regex_full_match(text, "qwzx"), 0, 1)
        return {"known_words": known, "labels": tf.stack([text, tf.zeros_like(text)], 1)}


class Seeds(tf.Module):
    """Answers with a file and a number."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "seed")])
    def answer(self, seed):
        return {"image_bytes": tf.fill(tf.shape(seed), b"\xff\x00"), "value": tf.cast(seed, tf.float32) / 3}


class Words(tf.Module):
    """Has one output."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word")])
    def answer(self, word):
        return {"neighbours": tf.where(word[:, tf.newaxis] == "film", [["movie", ""]], [["", ""]])}


class Two(tf.Module):
    """Takes two inputs."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "a"), tf.TensorSpec([None], tf.float32, "b")])
    def answer(self, a, b):
        return {"sum": a + b}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server of all these models; "broken" cannot be loaded."""
    root = tmp_path_factory.mktemp("models")
    modules = {"images": Images(), "texts": Texts(), "seeds": Seeds(), "words": Words(), "a/b": Two()}
    for name, module in modules.items():
        path = root / name.replace("/", "-") / "1"
        tf.saved_model.save(module, str(path), {"serving_default": module.answer})
    extra = root / "images" / "1" / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "recipe.json").write_text(json.dumps({"label_names": LABELS}))
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "saved_model.pb").write_bytes(b"broken")
    models = [ModelConfig(name, root / name.replace("/", "-")) for name in (*modules, "broken")]
    limits = Limits(body_bytes=8 << 20)
    server = Server(lambda: models, Options(rest_port=0, grpc_port=0, poll_seconds=0, limits=limits))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.rest_port}"


class Odd(BaseHTTPRequestHandler):
    """Answers with what `server.answers` holds, one after the other, the last for ever: (status, headers, body)."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answers = self.server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@contextmanager
def odd_server(*answers, tls=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.answers, server.asked = list(answers), []
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def described(inputs, outputs):
    """Returns the answer of TensorFlow Serving to a question about a model: {name: dtype}, both."""
    tensors = [
        {name: {"dtype": dtype, "tensor_shape": {"dim": [{"size": "-1", "name": ""}]}} for name, dtype in some.items()}
        for some in (inputs, outputs)
    ]
    signature = dict(zip(("inputs", "outputs"), tensors, strict=True))
    return 200, {}, {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}}


TEXT = described({"text": "DT_STRING"}, {"label": "DT_STRING"})


@pytest.fixture
def no_waiting(monkeypatch):
    waits = []
    monkeypatch.setattr(client.time, "sleep", waits.append)
    return waits


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name == "RECIPES_TOKEN"]:
        monkeypatch.delenv(name)


def test_images_with_bad_ones_among_them(url, capsys):
    Path("photos/deep").mkdir(parents=True)
    for name, content in {"a.jpg": b"12", "b.jpg": b"123", "deep/c.png": b"torn", "deep/d.png": b"1"}.items():
        Path("photos", name).write_bytes(content)
    Path("photos/notes.md").write_text("none")
    assert main(["predict", "images", "photos", "missing.jpg", "raw.heic", "photos/a.jpg", "--url", url]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "photos/a.jpg\tcat\t0.7000",
        "photos/b.jpg\tdog\t0.9000",
        "photos/deep/d.png\tdog\t0.9000",
        "photos/a.jpg\tcat\t0.7000",
    ]
    refused, missing, unread = captured.err.splitlines()
    assert refused.startswith("recipes: photos/deep/c.png was refused by the server: ")
    assert "an image cannot be read here" in refused
    assert missing == "recipes: cannot read missing.jpg: No such file or directory"
    assert unread.startswith("recipes: raw.heic is an image of a kind that is not read")


def test_json_and_csv_have_the_names_of_the_classes_and_float32_as_predict_has_it(url, capsys):
    Path("a.jpg").write_bytes(b"12")
    assert main(["predict", "images", "a.jpg", "a.jpg", "--json", "--csv", "a.csv", f"--url={url}/"]) == 0
    tenths = {float(tf.constant(share)): share for share in (0.7, 0.3)}
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert list(first) == ["input", "label", "probability", "probabilities"]
    assert first["probability"] in tenths
    assert first["probabilities"] == {"cat": float(tf.constant(0.7)), "dog": float(tf.constant(0.3))}
    with Path("a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["cat", "cat"]
    assert float(rows[0]["p(dog)"]) == first["probabilities"]["dog"]


@pytest.mark.parametrize(
    ("model", "inputs", "status", "rows"),
    [
        (
            "texts",
            ["a film", "qwzx"],
            0,
            [{"labels": ["a film"]}, {"labels": ["qwzx"], "note": NOTE}],
        ),
        ("texts", ["review.txt"], 0, [{"labels": ["Größe"]}]),
        ("texts", ["no.txt", "a film"], 1, [{"labels": ["a film"]}]),
        ("seeds", ["3", "x", "1.5"], 1, [{"value": 1.0}]),
        ("words", ["film", "qwzx"], 1, [{"neighbours": ["movie", ""]}]),
    ],
)
def test_texts_words_and_numbers(url, capsys, model, inputs, status, rows):
    Path("review.txt").write_text("Größe", encoding="utf-16")
    assert main(["predict", model, *inputs, "--json", "--url", url]) == status
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{key: value for key, value in answer.items() if key != "input"} for answer in answers] == rows


def test_a_table_has_its_column_where_the_model_is_a_recipe(url, capsys):
    Path("table.csv").write_text("text,label\na film,1\n")
    assert main(["predict", "texts", "table.csv", "--url", url]) == 1
    assert "table.csv is a table, and it is not known which column this model takes" in capsys.readouterr().err


def test_an_image_beyond_the_limit_loses_itself_alone(url, capsys):
    Path("large.jpg").write_bytes(bytes(7 << 20))
    Path("a.jpg").write_bytes(b"12")
    assert main(["predict", "images", "a.jpg", "large.jpg", "a.jpg", "--url", url]) == 1
    captured = capsys.readouterr()
    assert captured.out == "a.jpg\tcat\t0.7000\n" * 2
    assert "large.jpg was refused by the server" in captured.err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("imges", "serves no model 'imges'; models there: a/b, broken, images, seeds, texts, words"),
        ("broken", "has 'broken', but version 1 is END: "),
        ("a/b", "takes the inputs a, b; expected a model of one"),
    ],
)
def test_what_cannot_be_asked_is_said(url, capsys, model, message):
    assert main(["predict", model, "x", "--url", url]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--url", "127.0.0.1:8501"],
            "'127.0.0.1:8501' is no address of HTTP; expected a server's address, such as http://",
        ),
        (["--url", "ftp://host"], "is no address of HTTP"),
        (["--url", ""], "'' is no address of HTTP"),
        (["--url", "http://host:port"], "is no address: "),
        (["--url", "http://[::1"], "is no address: "),
        (["--url", "http://me:secret@host"], "the address of host holds a user's name"),
        (["--url", "http://host/v1/models/m:predict"], "says more than where the server is"),
        (["--url", "http://host", "--run", "x"], "--run has no effect with --url"),
        (["--url", "http://host", "--beam-width", "3"], "--beam-width has no effect with --url"),
        (
            ["--url", "https://host", "--ca-certificate", "no.pem"],
            "no.pem cannot be read: No such file",
        ),
        (
            ["--url", "https://host", "--ca-certificate", "none.pem"],
            "none.pem cannot be read: it is no PEM",
        ),
        (["--ca-certificate", "no.pem"], "--token-file and --ca-certificate are for a server, which --url names"),
    ],
)
def test_bad_usage(capsys, arguments, message):
    Path("none.pem").write_text("none")
    assert main(["predict", "imdb_lstm", "x", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (200, {"Content-Type": "text/html"}, b"<html>"),
            "is no TensorFlow Serving: ",
        ),
        ((200, {}, [1]), "describes m as no TensorFlow Serving does: [1]"),
        ((302, {"Location": "https://elsewhere/"}, b""), "sends on to 'https://elsewhere/', which is not followed"),
        (
            (401, {}, {"error": "who?"}),
            "asks for a token: who?. It is read from the variable RECIPES_TOKEN",
        ),
        ((404, {}, b"<html>"), "serves no model 'm': HTTP 404"),
        ((501, {}, {"error": "half\nrecipes: \x1b[2J" + "a" * 5000}), "answered 501: half recipes: \\x1b[2Jaaa"),
    ],
)
def test_odd_answers(capsys, answer, message):
    with odd_server(answer) as server:
        assert main(["predict", "m", "x", "--url", server.url]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"predictions": ["a"]}, "expected 2 predictions"),
        ({"predictions": "ab"}, "expected 2 predictions"),
        ([], "expected 2 predictions"),
        ({"outputs": ["a", "b"]}, "expected 2 predictions"),
    ],
)
def test_odd_predictions(capsys, answer, message):
    with odd_server(TEXT, (200, {}, answer)) as server:
        assert main(["predict", "m", "x", "y", "--url", server.url]) == 1
    assert message in capsys.readouterr().err


def test_one_is_asked_at_a_time_where_many_are_refused(capsys):
    refused, answered = (400, {}, {"error": "no"}), (200, {}, {"predictions": ["a"]})
    with odd_server(TEXT, refused, answered, refused, answered) as server:
        assert main(["predict", "m", "x", "y", "z", "--url", server.url]) == 1
    captured = capsys.readouterr()
    assert captured.out == "x\ta\nz\ta\n"
    assert captured.err == "recipes: y was refused by the server: no\n"


def test_a_busy_server_is_asked_again_when_it_says(capsys, no_waiting):
    busy = (429, {"Retry-After": "7"}, {"error": "too much to do"})
    with odd_server(TEXT, busy, (503, {}, b""), (200, {}, {"predictions": ["a"]})) as server:
        assert main(["predict", "m", "x", "--url", server.url]) == 0
    assert no_waiting == [7, 1]
    with odd_server(TEXT, busy) as server:
        assert main(["predict", "m", "x", "--url", server.url]) == 1
    assert "answered 429: too much to do" in capsys.readouterr().err
    assert len(no_waiting) == 2 + 5


def test_what_was_answered_before_a_server_is_gone_is_kept(capsys, no_waiting):
    texts = [f"text {number}" for number in range(20)]
    with odd_server(TEXT, (200, {}, {"predictions": ["a"] * 16}), (403, {}, {"error": "no more"})) as server:
        assert main(["predict", "m", *texts, "--csv", "a.csv", "--url", server.url]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 16
    assert Path("a.csv").read_text().count("\n") == 17
    assert "no more" in captured.err


def test_nobody_answers(capsys, monkeypatch):
    with odd_server(TEXT) as server:
        pass
    assert main(["predict", "m", "x", "--url", server.url]) == 1
    assert f"nobody answers at {server.url}: is it running, and on this port?" in capsys.readouterr().err
    monkeypatch.setattr(client, "LOOK_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert main(["predict", "m", "x", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}"]) == 1
    assert "did not answer within 0.1 s" in capsys.readouterr().err


def test_the_token_is_sent_and_shown_to_nobody(capsys, monkeypatch):
    Path("token").write_text("# mine\n\nfrom-the-file\n")
    answers = TEXT, (200, {}, {"predictions": ["a"]})
    with odd_server(*answers) as server:
        monkeypatch.setenv("RECIPES_TOKEN", " from-the-environment\n")
        assert main(["predict", "m", "x", "--url", server.url]) == 0
        assert {token for _, token in server.asked} == {"Bearer from-the-environment"}
        server.answers, server.asked = list(answers), []
        assert main(["predict", "m", "x", "--url", server.url, "--token-file", "token"]) == 0
        assert {token for _, token in server.asked} == {"Bearer from-the-file"}
        server.answers = [(401, {}, {"error": "unknown"})]
        assert main(["predict", "m", "x", "--url", server.url]) == 1
    captured = capsys.readouterr()
    assert "refuses the token: unknown" in captured.err
    assert "from-the" not in captured.err
    Path("token").write_text("# none\n")
    assert main(["predict", "m", "x", "--url", "http://127.0.0.1:1", "--token-file", "token"]) == 1
    assert "token holds no token" in capsys.readouterr().err
    monkeypatch.setenv("RECIPES_TOKEN", "two\nlines")
    assert main(["predict", "m", "x", "--url", "http://127.0.0.1:1"]) == 2
    assert "the token holds characters that no header takes" in capsys.readouterr().err


def test_this_machine_is_asked_without_the_proxy_and_others_through_it(monkeypatch, capsys):
    with odd_server(TEXT, (200, {}, {"predictions": ["a"]})) as server, odd_server((502, {}, b"")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:secret@"))
        assert main(["predict", "m", "x", "--url", server.url]) == 0
    monkeypatch.setenv("RECIPES_TOKEN", "mine")
    assert main(["predict", "m", "x", "--url", "http://models.invalid"]) == 1
    error = capsys.readouterr().err
    assert "nobody answers at http://models.invalid (through the proxy of the variable http_proxy)" in error
    assert "note: the token goes to http://models.invalid as plain text" in error
    assert "secret" not in error


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def test_tls(certificate, capsys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    trusted = ["--ca-certificate", str(certificate / "certificate.pem")]
    with odd_server(TEXT, (200, {}, {"predictions": ["a"]}), tls=context) as server:
        assert main(["predict", "m", "x", "--url", server.url, *trusted]) == 0
        assert main(["predict", "m", "x", "--url", server.url]) == 1
        assert main(["predict", "m", "x", "--url", server.url.replace("https", "http")]) == 1
    with odd_server(TEXT) as server:
        assert main(["predict", "m", "x", "--url", server.url.replace("http", "https")]) == 1
    untrusted, plain, no_tls = capsys.readouterr().err.splitlines()
    assert "is not trusted: self-signed certificate. --ca-certificate FILE names the authority" in untrusted
    assert "speak TLS (https://)" in plain
    assert "speaks no TLS that is understood here" in no_tls


def test_no_tensorflow_is_loaded(url):
    program = (
        "import sys; from recipes.cli import main; status = main(sys.argv[1:]); "
        "print([name for name in ('tensorflow', 'keras', 'PIL') if name in sys.modules]); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "predict", "texts", "a film", "--url", url], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a film\ta film\n[]\n", "")
