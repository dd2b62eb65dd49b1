"""How many requests a key may send: a bucket that holds a minute's worth and fills evenly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from agent_kernel.errors import LimitReached

_MINUTE = 60.0


class Rate:
    """The requests of one key in this process. `clock` tells seconds and never goes back."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._seen = clock()

    def take(self) -> None:
        """Count a request. Raises `LimitReached`, which says after how many seconds there is room for one."""
        self._fill()
        if self._left < 1:
            raise LimitReached(
                f"With this key {self.per_minute} requests a minute can be sent.",
                hint="Send it again a little later.",
                code="rate_limit_exceeded",
                retry_after=self._until(1),
            )
        self._left -= 1

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What there is and what is left of it, by the names of OpenAI's API."""
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
    """Seconds as OpenAI's headers have them: `120ms`, `3s`, `1m0s`."""
    if (milliseconds := math.ceil(seconds * 1000)) < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
