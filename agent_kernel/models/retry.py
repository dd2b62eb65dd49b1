"""Retry policy for requests to an upstream."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class RetryPolicy:
    """The number of retries and the waits between them, in seconds.

    Attempt n waits between half and all of `first * 2**n`, at most `longest`, so that turns that failed
    together do not retry together. `Retry-After` is honoured, plus up to `first` of jitter, unless it exceeds
    `patience`; then the request fails.
    """

    attempts: int = 2
    """Maximum number of retries. 0: none."""
    first: float = 0.5
    longest: float = 8.0
    patience: float = 60.0
    chance: Callable[[], float] = random.random
    """Returns random numbers from 0 to 1."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def wait(self, failures: int, asked: float | None) -> float | None:
        """Return the seconds until the next attempt after `failures` failures, or None to give up.

        `asked` is the upstream's `Retry-After`, if it sent one.
        """
        if failures > self.attempts:
            return None
        if asked is not None:
            return asked + self.first * self.chance() if asked <= self.patience else None
        whole: float = min(self.longest, self.first * 2.0 ** (failures - 1))
        return whole * (1 + self.chance()) / 2


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds in an answer's `Retry-After`, or None if it has none that can be read."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now())
    except (ValueError, OverflowError):
        return None
