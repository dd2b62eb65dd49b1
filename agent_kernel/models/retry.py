"""When an upstream is asked again, and after how long."""

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
    """How often, how soon, and for how long. All times are in seconds.

    Attempt n waits between half and the whole of `first * 2**n`, at most `longest`: many turns that failed
    at one moment do not come back at one moment. An upstream that says when to come (`Retry-After`) is
    obeyed, with up to `first` on top for the same reason; one that wants more than `patience` is not waited
    for.
    """

    attempts: int = 2
    """How often a request is sent again. 0: never."""
    first: float = 0.5
    longest: float = 8.0
    patience: float = 60.0
    chance: Callable[[], float] = random.random
    """Gives numbers from 0 up to 1."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def wait(self, failures: int, asked: float | None) -> float | None:
        """Seconds until the next attempt, after so many `failures`; None: there is none.

        `asked` is what the upstream wants, None where it does not say.
        """
        if failures > self.attempts:
            return None
        if asked is not None:
            return asked + self.first * self.chance() if asked <= self.patience else None
        whole: float = min(self.longest, self.first * 2.0 ** (failures - 1))
        return whole * (1 + self.chance()) / 2


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds that an answer asks to be left alone for; None where it says nothing that can be understood."""
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
