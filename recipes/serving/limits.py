"""How much one request, and all together, may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the server refuses beyond, before memory or time is spent on it."""

    body_bytes: int = 64 << 20  # of a request, also once it is unpacked
    all_body_bytes: int = 256 << 20  # of all requests by REST that are read or at work
    lists: int = 4 << 20  # and objects, in the JSON of a request: an empty one costs thirty times its two letters
    elements: int = 16 << 20  # of one tensor
    rank: int = 32  # dimensions of a tensor
    image_pixels: int = 50_000_000  # of an encoded image among the inputs, all its frames together
    requests: int = 64  # at work or waiting at once; more are answered "unavailable" at once
    timeout: float = 30.0  # seconds for a request that says nothing else
    connections: int = 1024  # of REST, open at once
