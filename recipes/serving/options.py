"""How to serve, and what is refused before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from recipes.serving.batching import BatchingParameters
from recipes.serving.client import is_loopback
from recipes.serving.limits import Limits
from recipes.serving.status import Code, ServingError, invalid


@dataclass(frozen=True)
class Options:
    """How to serve."""

    host: str = "127.0.0.1"
    rest_port: int = 8501  # 0: any that is free
    grpc_port: int = 8500
    grpc_socket: Path | None = None  # a Unix socket for gRPC, too
    certificate: Path | None = None  # PEM files for TLS
    key: Path | None = None
    tokens: frozenset[str] = frozenset()  # bearer tokens, one of which a request must carry
    insecure: bool = False  # serve beyond this machine without TLS and tokens
    cross_origin: bool = False  # pages of other sites may ask
    allow_reload: bool = False  # clients may change which models are served
    allow_any_operation: bool = False  # load models that reach files or the network
    allow_links: bool = False  # follow symbolic links out of a model's folder
    verify: bool = False  # compare each file with the manifest's SHA-256 before it is loaded
    poll_seconds: float = 1.0  # between two looks for new versions; 0: only at the start
    limits: Limits = field(default_factory=Limits)
    batching: BatchingParameters | None = None


def check(options: Options) -> None:
    """Refuses to serve beyond this machine without TLS and tokens.

    Raises:
        ServingError: Says what is missing.
    """
    if (options.certificate is None) != (options.key is None):
        raise invalid("TLS needs both, a certificate and its key")
    if options.rest_port == options.grpc_port != 0:
        raise invalid(f"REST and gRPC both have the port {options.rest_port}; expected two ports")
    missing = [name for name, value in (("TLS", options.certificate), ("bearer tokens", options.tokens)) if not value]
    if missing and not is_loopback(options.host) and not options.insecure:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"{options.host} is reached from other machines, and the server has no {' and no '.join(missing)}; pass "
            "--tls-certificate, --tls-key and --tokens, or --insecure where the network is private or a proxy has both",
        )
