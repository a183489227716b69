"""`recipes serve`: exported models, by TensorFlow Serving's REST and gRPC and the Open Inference Protocol."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from recipes import RECIPES
from recipes.cli.options import Switch
from recipes.errors import DataError, RecipeError, UsageError, did_you_mean, one_line
from recipes.runs.run_list import list_runs

if TYPE_CHECKING:
    from recipes.serving.model_config import ModelConfig
    from recipes.serving.options import Options
    from recipes.serving.server import Server

EXTRA = ("grpc", "httptools", "orjson", "tensorflow_serving", "uvicorn")


@dataclass(frozen=True)
class Serve:
    """Serve exported models: TensorFlow Serving's REST and gRPC, the Open Inference Protocol, and a page to try them.

    A recipe that has a finished run and no export is exported first. New versions that appear are loaded, warmed up and
    switched to without a failed request. It serves this machine alone; beyond it needs TLS and tokens. Models are
    programs: serve those that you trust. docs/serving.md tells all of it.
    """

    names: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="[NAME...]", help="models of the root, or NAME=FOLDER; none: all that the root holds"),
    ] = ()
    root: Path = Path("saved_models")  # holds <name>/<version>/
    runs: Path = Path("runs")  # where run folders are, for recipes that are not exported yet
    model_config_file: Path | None = None  # TensorFlow Serving's, read again when it changes, instead of names and root

    host: str = "127.0.0.1"  # the address to listen on; 0.0.0.0: all of this machine's
    rest_port: int = 8501  # of REST and the page; 0: any that is free
    grpc_port: int = 8500  # of gRPC; 0: any that is free
    grpc_socket: Path | None = None  # a Unix socket for gRPC, too

    tls_certificate: Path | None = None  # PEM file
    tls_key: Path | None = None  # PEM file
    tokens: Path | None = None  # file of bearer tokens, one a line, one of which each request must carry
    insecure: Switch = False  # serve beyond this machine without TLS and tokens
    cross_origin: Switch = False  # let web pages of other sites ask (CORS)
    allow_reload: Switch = False  # let clients change which models are served (HandleReloadConfigRequest)
    allow_any_operation: Switch = False  # load models whose graphs reach files, processes or the network, too
    allow_links: Switch = False  # follow symbolic links out of a model's folder
    verify: Switch = False  # compare every file with the SHA-256 in the export's manifest before it is loaded

    latest: int = 1  # how many of the highest versions of each model to serve; 0: all
    poll_seconds: float = 1.0  # between two looks for new versions; 0: only at the start
    enable_batching: Switch = False  # join requests that arrive while others run
    batching_parameters_file: Path | None = None  # TensorFlow Serving's; switches batching on
    timeout: float = 30.0  # seconds for a request
    requests: int = 64  # at work or waiting at once; more are refused at once


def serve(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C, and returns 0."""
    asked = tyro.cli(Serve, args=list(arguments), prog="recipes serve")
    _check(asked)
    _load_extra()
    from recipes.cli import _load_tensorflow
    from recipes.serving.options import check
    from recipes.serving.status import ServingError

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("recipes.serving").setLevel(logging.INFO)
    try:
        options, source = _options(asked), _source(asked)
        check(options)
        if asked.model_config_file is None:
            _export_what_is_missing(asked)
        _load_tensorflow()  # after all that can be refused without it
        from recipes.serving.server import serve as serve_models

        requests = serve_models(source, options, _announce)
    except ServingError as error:
        raise RecipeError(error) from None
    print(f"stopped after {requests:,} requests")
    return 0


def _check(asked: Serve) -> None:
    if asked.model_config_file is not None and asked.names:
        raise UsageError("--model-config-file names the models itself; leave out the names")
    for name, value, least, most in (
        ("rest-port", asked.rest_port, 0, 65535),
        ("grpc-port", asked.grpc_port, 0, 65535),
        ("latest", asked.latest, 0, 1_000_000),
        ("poll-seconds", asked.poll_seconds, 0, 86_400),
        ("requests", asked.requests, 1, 10_000),
        ("timeout", asked.timeout, 0.001, 86_400),
    ):
        if not least <= value <= most:
            raise UsageError(f"--{name} is {value}; expected {least} to {most}")
    named = [name.partition("=")[0] for name in asked.names]
    for name in named:
        if named.count(name) > 1:
            raise UsageError(f"the model {one_line(name)} is named twice; expected each name once")
        if "/" in name:
            advice = f"NAME={name} serves that folder under a name of its own"
            raise UsageError(f"{one_line(name)} is no name of a model in {one_line(asked.root)}; {one_line(advice)}")

    if asked.model_config_file is not None:
        return
    if asked.root.exists() and not asked.root.is_dir():
        raise DataError(f"--root {one_line(asked.root)} is no folder; expected one that holds <name>/<version>/")
    if any(asked.root.glob("[0-9]*/saved_model.pb")):
        root = one_line(asked.root)
        raise DataError(f"--root {root} holds the versions of one model; 'recipes serve NAME={root}' serves them")


def _export_what_is_missing(asked: Serve) -> None:
    """Exports the newest finished run of each recipe that is asked for, or of all, where nothing is exported yet."""
    finished = {run.recipe for run in list_runs(asked.runs) if run.state == "finished"} & set(RECIPES)
    for name in asked.names or sorted(finished):
        if "=" in name or any((asked.root / name).glob("[0-9]*/saved_model.pb")):
            continue
        if name not in finished:
            if name in RECIPES:
                advice = f"recipes fit {name} trains it, recipes export {name} exports it"
            else:
                there = sorted(path.parent.parent.name for path in asked.root.glob("*/[0-9]*/saved_model.pb"))
                advice = f"models there: {', '.join(map(one_line, there)) or 'none'}{did_you_mean(name, there)}"
            raise DataError(f"there is no {one_line(asked.root / name)}/<version>/saved_model.pb; {advice}")
        print(f"{name} has a finished run and no export in {one_line(asked.root)}: exporting it first", flush=True)
        command = [sys.executable, "-m", "recipes", "export", name]
        done = subprocess.run([*command, "--path", str(asked.root), "--runs", str(asked.runs)], check=False)
        if done.returncode:
            raise RecipeError(f"{name} could not be exported; leave it out, or mend that first")


def _load_extra() -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # errors come as exceptions; set it to see the rest
    try:
        for module in EXTRA:
            __import__(module)
    except ModuleNotFoundError as error:
        raise RecipeError(f"serving needs {error.name}; pip install 'keras-recipes[serving]' installs it") from None


def _source(asked: Serve) -> Callable[[], list[ModelConfig] | None]:
    """Returns the function that tells which models are wanted."""
    from recipes.serving.model_config import ModelConfig, models_in, models_of, read_model_config, source_of_file

    if asked.model_config_file is not None:
        models_of(read_model_config(asked.model_config_file))  # one that is wrong ends the server before it starts
        return source_of_file(asked.model_config_file)
    named = dict(name.split("=", 1) for name in asked.names if "=" in name)
    for name, folder in named.items():
        if not name or not Path(folder).is_dir():
            raise DataError(f"{one_line(f'{name}={folder}')}: expected NAME=FOLDER, with a folder that is there")
        if (Path(folder) / "saved_model.pb").exists():
            above = f"{name}={Path(folder).absolute().parent}"
            raise DataError(f"{one_line(folder)} is one version; expected the folder that holds it: {one_line(above)}")
    elsewhere = [ModelConfig(name, Path(folder), asked.latest) for name, folder in sorted(named.items())]
    names = [name for name in asked.names if "=" not in name]

    def wanted() -> list[ModelConfig] | None:
        if not named and not names and not os.access(asked.root, os.R_OK | os.X_OK):
            return None  # a root that is away for a moment changes nothing
        of_root = models_in(asked.root, names) if names or not elsewhere else []
        return [replace(config, latest=asked.latest) for config in of_root] + elsewhere

    return wanted


def _options(asked: Serve) -> Options:
    from recipes.serving.batching import BatchingParameters, read_batching_parameters
    from recipes.serving.limits import Limits
    from recipes.serving.options import Options
    from recipes.serving.tokens import read_tokens

    batching = BatchingParameters() if asked.enable_batching else None
    if asked.batching_parameters_file:
        batching = read_batching_parameters(asked.batching_parameters_file)
    return Options(
        host=asked.host,
        rest_port=asked.rest_port,
        grpc_port=asked.grpc_port,
        grpc_socket=asked.grpc_socket,
        certificate=asked.tls_certificate,
        key=asked.tls_key,
        tokens=read_tokens(asked.tokens) if asked.tokens else frozenset(),
        insecure=asked.insecure,
        cross_origin=asked.cross_origin,
        allow_reload=asked.allow_reload,
        allow_any_operation=asked.allow_any_operation,
        allow_links=asked.allow_links,
        verify=asked.verify,
        poll_seconds=asked.poll_seconds,
        limits=Limits(requests=asked.requests, timeout=asked.timeout),
        batching=batching,
    )


def _announce(server: Server) -> None:
    """Prints what is served and where, once it is."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    scheme = "https" if server.is_secure else "http"
    for name in server.models.names():
        versions = ", ".join(map(str, server.models.available(name)))
        print(f"{one_line(name)}: {f'version {versions}' if versions else 'no version is served'}")
    if not server.models.names():
        print("no models yet: they are served as soon as they are there")
    print(f"REST  {scheme}://{host}:{server.rest_port}/v1/models   page {scheme}://{host}:{server.rest_port}/")
    print(f"gRPC  {host}:{server.grpc_port}", flush=True)
