"""Limit the requests of a key: a token bucket that holds one minute of requests and refills evenly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from agent_kernel.errors import LimitReached

_MINUTE = 60.0


class Rate:
    """The token bucket of one key in this process. `clock` returns seconds and never goes back."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._seen = clock()

    def take(self) -> None:
        """Count a request. Raises `LimitReached` with the seconds until the next one is allowed."""
        self._fill()
        if self._left < 1:
            raise LimitReached(
                f"Rate limit reached: this key allows {self.per_minute} requests a minute.",
                hint="Send it again later; Retry-After says when.",
                code="rate_limit_exceeded",
                retry_after=self._until(1),
            )
        self._left -= 1

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return OpenAI's rate limit headers: limit, remaining requests, time until all are back."""
        self._fill()
        values = {
            "limit": str(self.per_minute),
            "remaining": str(int(self._left)),
            "reset": duration(self._until(self.per_minute)),
        }
        return [(f"x-ratelimit-{n}-requests".encode(), value.encode()) for n, value in values.items()]

    def _fill(self) -> None:
        now = self._clock()
        self._left = min(self.per_minute, self._left + (now - self._seen) * self.per_minute / _MINUTE)
        self._seen = now

    def _until(self, wanted: float) -> float:
        if self.per_minute == 0:
            return _MINUTE
        return max(0.0, wanted - self._left) * _MINUTE / self.per_minute


def duration(seconds: float) -> str:
    """Format seconds as OpenAI's headers do: `120ms`, `3s`, `1m0s`."""
    if (milliseconds := math.ceil(seconds * 1000)) < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
