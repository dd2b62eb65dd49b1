"""Limits of one container's connections, and what it has used."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_MINUTE = 60.0


class LimitExceeded(Exception):
    """A limit is reached; the argument says which, as a phrase."""


@dataclass(frozen=True)
class NetworkLimits:
    """Limits per container. Bytes are those of connections to servers, since the broker was made."""

    concurrent: int = 100
    """Connections that are open at once."""
    per_minute: int = 1200
    """Connections that begin in any 60 seconds, refused ones included."""
    bytes_out: int | None = 10 << 30
    """Bytes from the sandbox to servers, or None."""
    bytes_in: int | None = 50 << 30
    """Bytes from servers to the sandbox, or None."""


class NetworkMeter:
    """Counts connections and bytes against limits. `clock` returns seconds that only grow."""

    def __init__(self, limits: NetworkLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.open = 0
        self.sent = 0
        self.received = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._most_out = float("inf") if limits.bytes_out is None else limits.bytes_out
        self._most_in = float("inf") if limits.bytes_in is None else limits.bytes_in
        self._begun: deque[float] = deque(maxlen=max(limits.per_minute, 1))

    def attempt(self) -> None:
        """Count an attempt to connect. Raises `LimitExceeded` if there were too many in a minute."""
        now = self._clock()
        while self._begun and self._begun[0] <= now - _MINUTE:
            self._begun.popleft()
        if len(self._begun) >= self.limits.per_minute:
            raise LimitExceeded(f"more than {self.limits.per_minute} connections in a minute")
        self._begun.append(now)

    def begin(self) -> None:
        """Count an open connection. Raises `LimitExceeded` if there are too many, or no bytes are left."""
        if self.open >= self.limits.concurrent:
            raise LimitExceeded(f"{self.limits.concurrent} connections are open already")
        self._check_bytes(1, 1)
        self.open += 1

    def end(self) -> None:
        """Count the end of an open connection."""
        self.open -= 1

    def count(self, sent: int, received: int) -> None:
        """Count bytes before they are passed on. Raises `LimitExceeded`, and counts nothing, if too many.

        Any thread may call it.
        """
        with self._lock:
            self._check_bytes(sent, received)
            self.sent += sent
            self.received += received

    def _check_bytes(self, sent: int, received: int) -> None:
        if self.sent + sent > self._most_out:
            raise LimitExceeded(f"this container has sent its limit of {self._most_out} bytes")
        if self.received + received > self._most_in:
            raise LimitExceeded(f"this container has received its limit of {self._most_in} bytes")
