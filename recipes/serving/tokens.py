"""Who may ask: bearer tokens."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from pathlib import Path

from recipes.serving.status import Code, ServingError, invalid

SHORTEST = 16  # characters


def read_tokens(path: Path) -> frozenset[str]:
    """Returns the tokens of a file: one a line; empty lines and those that begin with # are skipped.

    Raises:
        ServingError: The file cannot be read, holds none, or one that is easily guessed.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"the tokens in {path} cannot be read: {error}") from None
    tokens = frozenset(line for line in lines if line and not line.startswith("#"))
    if not tokens or min(map(len, tokens)) < SHORTEST:
        advice = "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
        raise invalid(f"{path}: expected a token of {SHORTEST} characters or more in each line; {advice}")
    return tokens


def check_token(authorization: str | None, tokens: Iterable[str]) -> None:
    """Refuses a request whose "authorization" is not "Bearer TOKEN" with one of the tokens; without tokens, none.

    Raises:
        ServingError: UNAUTHENTICATED.
    """
    tokens = list(tokens)
    if not tokens:
        return
    scheme, _, token = (authorization or "").strip().partition(" ")
    fits = [hmac.compare_digest(token.strip().encode(), one.encode()) for one in tokens]  # all, in the same time
    if scheme.lower() != "bearer" or not any(fits):
        raise ServingError(Code.UNAUTHENTICATED, "expected the header 'Authorization: Bearer TOKEN' with a known token")
