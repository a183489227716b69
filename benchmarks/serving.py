"""What serving adds to a model's own time, beside LitServe in the same run; a reload and the end under load.

    python benchmarks/serving.py            # latency and throughput, memory
    python benchmarks/serving.py --load 60  # seconds of load, with new versions in it and SIGTERM at its end
    python benchmarks/serving.py --hostile 20000  # damaged requests to a server, which must live and keep no file open

Two recipes, built and not trained: the smallest (mnist_dense) shows what the server costs, cifar_convnet what a model
makes of it. Each is asked one row a request, as an encoded image and as float32 pixels, by 1 and by 16 clients at once:
by REST, by gRPC and in the process itself (`Engine.run`), with batching off and on, and LitServe serves the same Keras
model. Blocks of requests take turns, so that the machine's moods meet all alike. Clients are threads of this process
that write prepared bytes: they share the two cores with the server, as LitServe's do.
"""

import argparse
import base64
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np

ROOT = Path(__file__).parent
MODELS = ("mnist_dense", "cifar_convnet")
TURNS, REQUESTS, CLIENTS = 5, 200, (1, 16)


def exported(root: Path) -> None:
    """Writes the SavedModels to <root>/<name>/1 and Keras' own to <root>/<name>.keras."""
    for name in MODELS:
        recipe = importlib.import_module(f"recipes.{name}")
        model = recipe.build(recipe.Config())
        recipe.export(model, path=root)
        model.save(root / f"{name}.keras")


class Server:
    """A server in a process of its own."""

    def __init__(self, command: list[str], ready: str) -> None:
        self.log = tempfile.NamedTemporaryFile("r", suffix=".log")  # noqa: SIM115 - as long as the server
        output = Path(self.log.name).open("w")  # noqa: SIM115
        self.process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=subprocess.STDOUT)
        while not re.search(ready, self.text):
            if self.process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended:\n{self.text}")
            time.sleep(0.05)

    @property
    def text(self) -> str:
        """What it has printed."""
        return Path(self.log.name).read_text()

    def ports(self) -> tuple[int, int]:
        """Returns the ports of REST and gRPC."""
        return tuple(int(re.search(rf"^{kind}.*?127\.0\.0\.1:(\d+)", self.text, re.M)[1]) for kind in ("REST", "gRPC"))

    def memory(self) -> int:
        """Returns the resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def stop(self) -> None:
        """Ends it, and waits for that."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def ours(root: Path, *options: str) -> Server:
    """Returns `recipes serve` of a folder."""
    command = ["-m", "recipes", "serve", "--root", str(root), "--runs", "nowhere", "--rest-port", "0"]
    return Server([*command, "--grpc-port", "0", *options], r"gRPC  127")


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# ---------------------------------------------------------------- clients: each a function () -> None that asks once

Ask = Callable[[], None]


def by_http(port: int, path: str, body: bytes) -> Ask:
    """Returns who asks over one connection that is kept open."""
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body

    def ask() -> None:
        connection.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += _received(connection)
        header, _, answer = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", header)[1])
        while len(answer) < length:
            answer += _received(connection)
        if not header.startswith(b"HTTP/1.1 200"):
            raise AssertionError(answer)
        if re.search(rb"(?i)connection: close", header):
            connection.close()

    return ask


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionResetError("the connection is closed")
    return data


def by_grpc(port: int, name: str, signature: str, inputs: dict[str, np.ndarray]) -> Ask:
    """Returns who asks over one channel."""
    body = _request_of(name, signature, inputs).SerializeToString()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def ask() -> None:
        call(body, timeout=60)

    return ask


def _request_of(name: str, signature: str, inputs: dict[str, np.ndarray]) -> Any:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def questions(root: Path, name: str) -> dict[str, tuple[str, dict[str, np.ndarray], bytes]]:
    """Returns kind -> (signature, inputs, JSON) of one random image, encoded and as float32."""
    import tensorflow as tf

    recipe = importlib.import_module(f"recipes.{name}")
    shape = recipe.build(recipe.Config()).input_shape[1:]
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    png = tf.io.encode_png(image).numpy()
    bytes_body = json.dumps({"instances": [{"b64": base64.b64encode(png).decode()}]})
    pixels = image[None].astype(np.float32)
    float_body = json.dumps({"signature_name": "image", "instances": pixels.tolist()})
    return {
        "image bytes": ("serving_default", {"image_bytes": np.array([png], object)}, bytes_body.encode()),
        "float32 pixels": ("image", {"image": pixels}, float_body.encode()),
    }


# ---------------------------------------------------------------- measuring


def block(make: Callable[[], Ask], clients: int) -> tuple[list[float], float]:
    """Returns (seconds of each request, requests a second) of so many clients at once."""
    asks, seconds = [make() for _ in range(clients)], []
    for ask in asks:
        ask()

    def work(ask: Ask) -> None:
        for _ in range(max(5, REQUESTS // clients)):
            start = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work, args=(ask,)) for ask in asks]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, len(seconds) / (time.perf_counter() - start)


def compare(root: Path, name: str, plain: Server, batching: Server) -> list[dict]:
    """Returns a row for each kind of input, number of clients and way of asking."""
    from recipes.serving.engine import Engine

    engine = Engine(root / name / "1")
    port = free_port()
    peer = Server([str(ROOT / "serving_peer.py"), str(root / f"{name}.keras"), str(port)], "$")
    _wait_for(port)
    rows = []
    for kind, (signature, inputs, body) in questions(root, name).items():
        ways: dict[str, Callable[[], Ask]] = {
            "in the process": lambda s=signature, i=inputs: lambda: engine.run(engine.signatures[s], i)
        }
        for label, server in (("", plain), (", batching", batching)):
            rest, rpc = server.ports()
            path = f"/v1/models/{name}:predict"
            ways[f"REST{label}"] = lambda p=rest, path=path, body=body: by_http(p, path, body)
            ways[f"gRPC{label}"] = lambda p=rpc, s=signature, i=inputs: by_grpc(p, name, s, i)
        ways["LitServe"] = lambda body=body: by_http(port, "/predict", body)
        for clients in CLIENTS:
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(TURNS):
                for way, make in ways.items():
                    of_block, rate = block(make, clients)
                    seconds[way] += of_block
                    rates[way].append(rate)
            base = statistics.median(seconds["in the process"])
            base_rate = statistics.median(rates["in the process"])
            for way in ways:
                median, rate = statistics.median(seconds[way]), statistics.median(rates[way])
                rows.append(
                    {
                        "model": name,
                        "input": kind,
                        "clients": clients,
                        "way": way,
                        "median_ms": round(1e3 * median, 3),
                        "p95_ms": round(1e3 * sorted(seconds[way])[int(0.95 * len(seconds[way]))], 3),
                        "added_ms": round(1e3 * (median - base), 3),
                        "requests_per_second": round(rate, 1),
                        "of_in_process_rate": round(rate / base_rate, 3),
                    }
                )
                print(rows[-1], flush=True)
    peer.process.terminate()
    peer.process.wait(30)
    subprocess.run(["pkill", "-f", f"serving_peer.py.*{port}"], check=False)
    engine.close()
    return rows


def _wait_for(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("LitServe did not start; pip install litserve")


def memory(root: Path) -> dict[str, int]:
    """Returns the server's resident bytes with no model, and what each model adds, once it has been asked."""
    with tempfile.TemporaryDirectory() as empty:
        server = ours(Path(empty), "--poll-seconds", "0.1")
        rest, _ = server.ports()
        figures = {"no model": server.memory()}
        for name in MODELS:
            shutil.copytree(root / name, Path(empty) / name)
            while f"{name} version 1 is served" not in server.text:
                time.sleep(0.05)
            before = sum(figures.values())
            for _, _, body in questions(root, name).values():
                by_http(rest, f"/v1/models/{name}:predict", body)()
            figures[name] = server.memory() - before
        server.stop()
    return figures


def load(root: Path, seconds: float) -> dict:
    """Returns what came of load by REST and gRPC, with two new versions in it and SIGTERM at its end."""
    name, folder = "mnist_dense", Path(tempfile.mkdtemp())
    shutil.copytree(root / name, folder / name)
    server = ours(folder, "--poll-seconds", "0.2")
    rest, rpc = server.ports()
    signature, inputs, body = questions(root, name)["image bytes"]
    answered, refused, lost = [0] * 16, [0], []
    ended = threading.Event()

    def client(place: int) -> None:
        def connect() -> Ask:
            path = f"/v1/models/{name}:predict"
            return by_http(rest, path, body) if place % 2 else by_grpc(rpc, name, signature, inputs)

        ask = connect()
        while not ended.is_set():
            try:
                ask()
                answered[place] += 1
            except ConnectionRefusedError:
                refused[0] += 1
                return
            except OSError:  # a connection that was closed between two requests
                try:
                    ask = connect()
                except OSError:
                    refused[0] += 1
                    return
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or not told_to_end.is_set():
                    lost.append(str(error.code()))
                refused[0] += 1
                return
            except AssertionError as error:
                lost.append(str(error))

    told_to_end = threading.Event()
    threads = [threading.Thread(target=client, args=(place,)) for place in range(16)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    switches = []
    for version in (2, 3):
        while time.monotonic() < start + seconds * (version - 1) / 3:
            time.sleep(0.05)
        shutil.copytree(folder / name / "1", folder / name / ".part")
        (folder / name / ".part").rename(folder / name / str(version))
        appeared = time.monotonic()
        while f"version {version - 1} is unloaded" not in server.text:
            time.sleep(0.02)
        switches.append(round(time.monotonic() - appeared, 2))
    while time.monotonic() < start + seconds:
        time.sleep(0.05)
    told_to_end.set()
    server.stop()
    ended.set()
    for thread in threads:
        thread.join()
    by_server = int(re.search(r"stopped after ([\d,]+) requests", server.text)[1].replace(",", ""))
    shutil.rmtree(folder)
    return {
        "seconds": seconds,
        "clients": "8 by REST, 8 by gRPC",
        "answers_received": sum(answered),
        "answers_of_the_server": by_server,
        "lost": lost,
        "exit_status": server.process.returncode,
        "seconds_from_new_version_to_old_unloaded": switches,
    }


def hostile(root: Path, requests: int) -> dict:
    """Returns what a server answered to damaged requests, by REST and by gRPC, and its open files before and after."""
    server, name, random = ours(root), "mnist_dense", np.random.default_rng(0)
    rest, rpc = server.ports()
    (_, inputs, bytes_body), (_, _, float_body) = questions(root, name).values()
    good = by_http(rest, f"/v1/models/{name}:predict", bytes_body)
    good()
    files = Path(f"/proc/{server.process.pid}/fd")
    before, answers = len(list(files.iterdir())), {}
    channel = grpc.insecure_channel(f"127.0.0.1:{rpc}")
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    message = _request_of(name, "serving_default", inputs).SerializeToString()

    def damaged(body: bytes) -> bytes:
        changed = bytearray(body[: random.integers(1, len(body) + 1)] if random.random() < 0.5 else body)
        for place in random.integers(0, len(changed), random.integers(0, 9)):
            changed[place] = random.integers(0, 256)
        return bytes(changed)

    def whole(body: bytes) -> bytes:
        return (
            f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    for number in range(requests):
        kind = number % 4
        if kind == 3:
            try:
                call(damaged(message), timeout=60)
                answer = "gRPC OK"
            except grpc.RpcError as error:
                answer = f"gRPC {error.code().name}"
        else:  # a damaged body, or damaged HTTP
            body = bytes_body if kind else float_body
            with socket.create_connection(("127.0.0.1", rest), 60) as connection:
                connection.sendall(damaged(whole(body)) if kind == 2 else whole(damaged(body)))
                connection.shutdown(socket.SHUT_WR)
                try:
                    first = connection.recv(1 << 16)
                except ConnectionResetError:
                    first = b""
            answer = f"HTTP {first[9:12].decode()}" if first.startswith(b"HTTP/1.1 ") else "HTTP closed"
        answers[answer] = answers.get(answer, 0) + 1
    channel.close()
    time.sleep(2)
    good()
    after = len(list(files.iterdir()))
    lives = server.process.poll() is None
    server.stop()
    return {
        "requests": requests,
        "answers": dict(sorted(answers.items())),
        "open_files_before": before,
        "open_files_after": after,
        "lives_and_answers": lives,
        "stack_traces_in_its_log": server.text.count("Traceback"),
    }


def main() -> None:
    """Writes results/serving.json, or the part of it that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, default=0.0, help="seconds of load instead")
    parser.add_argument("--hostile", type=int, default=0, help="damaged requests instead")
    asked = parser.parse_args()
    seconds = asked.load
    root = Path(tempfile.mkdtemp())
    exported(root)
    path = ROOT / "results" / "serving.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if seconds:
        results["load"] = load(root, seconds)
        print(results["load"])
    elif asked.hostile:
        results["hostile"] = hostile(root, asked.hostile)
        print(results["hostile"])
    else:
        results["memory_bytes"] = memory(root)
        print(results["memory_bytes"])
        plain, batching = ours(root), ours(root, "--enable-batching")
        results["rows"] = [row for name in MODELS for row in compare(root, name, plain, batching)]
        plain.stop()
        batching.stop()
    from recipes.devices.environment import environment

    results |= {"command": "python benchmarks/serving.py", "date": time.strftime("%Y-%m-%d"), **environment()}
    results["litserve"] = importlib.metadata.version("litserve")
    path.write_text(json.dumps(results, indent=1) + "\n")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
