"""Tokens that open one connection each, once and soon."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

LIFETIME = 60.0
"""Seconds in which a token must be used."""


class OneTimeTokens:
    """Tokens in use. Only their digests are kept. `clock` returns seconds."""

    def __init__(self, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._until: dict[bytes, float] = {}

    def new(self) -> str:
        """Return a new token. It is the only one from now on."""
        token = secrets.token_urlsafe(32)
        self._until = {_digest(token): self._clock() + self._lifetime}
        return token

    def take(self, token: object) -> bool:
        """Return whether a token may be used, which it may not be again."""
        if not isinstance(token, str):
            return False
        until = self._until.pop(_digest(token), None)
        return until is not None and self._clock() < until

    def forget(self) -> None:
        """Make all tokens useless."""
        self._until.clear()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
