"""What must hold: each limit is a ratio of two figures of the same round, or a ratio that was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.speed.bench import Figures


@dataclass(frozen=True)
class Limit:
    """`figure` over `over` is to be `most` at most, or `least` at least; with neither it is told only."""

    measure: str
    words: str
    figure: str
    over: str | None = None
    most: float | None = None
    least: float | None = None

    def ratios(self, rounds: Sequence[Figures]) -> list[float]:
        """One of each round that has both figures."""
        needed = (self.figure, self.over) if self.over else (self.figure,)
        having = [figures for figures in rounds if all(name in figures for name in needed)]
        return [each[self.figure] / (each[self.over] if self.over else 1.0) for each in having]

    def met(self, ratios: Sequence[float]) -> bool | None:
        """Whether the median of the rounds is within it; None if nothing was measured or is required."""
        if not ratios or (self.most is None and self.least is None):
            return None
        middle = statistics.median(ratios)
        return (self.most is None or middle <= self.most) and (self.least is None or middle >= self.least)


def _builds(measure: str, words: str, figure: str, most: float | None) -> Limit:
    return Limit(measure, f"{words}: now / before", f"now {figure}", f"before {figure}", most)


COLD = "before first embedded ms"
LIMITS = (
    Limit(
        "load", "50 text turns at once, a second: now / before", "now a second", "before a second", least=2.5
    ),
    _builds("load", "  p95", "p95 ms", 0.5),
    _builds("load", "  memory", "MB", 1.0),
    Limit("load", "  two workers / one", "two workers a second", "now a second", least=1.5),
    Limit("load", "  now / ogx", "now a second", "ogx a second", least=5.0),
    _builds("first_delta", "first delta adds, Chat upstream", "Chat adds ms", 0.5),
    Limit("first_delta", "  only passed on / before", "forwarding Chat adds ms", "before Chat adds ms"),
    _builds("first_delta", "first delta adds, Responses upstream", "Responses adds ms", 0.5),
    Limit(
        "first_delta", "  only passed on / before", "forwarding Responses adds ms", "before Responses adds ms"
    ),
    _builds("starts", "embedded: to a first command's end", "first embedded ms", 0.4),
    Limit("starts", "  empty bwrap with a bare Python / before", "empty bwrap with Python ms", COLD),
    Limit("starts", "  empty bwrap / before", "empty bwrap ms", COLD),
    _builds("starts", "embedded: 20 at once", "at_once_ms", 0.4),
    Limit("starts", "  empty bwraps with a bare Python / before", "empty at_once_ms", "before at_once_ms"),
    Limit("starts", "embedded: starts a second: now / before", "now a_second", "before a_second", least=3.0),
    Limit("starts", "  empty bwraps with a bare Python / before", "empty a_second", "before a_second"),
    Limit("starts", "embedded: from the pool / cold before", "now pool embedded ms", COLD, 0.2),
    Limit("starts", "embedded: copy of a running one / cold before", "now fork ms", COLD, 0.2),
    _builds("starts", "embedded: memory of an idle one", "memory_mb", 0.6),
    _builds("starts", "Docker: to a first command's end", "first docker ms", None),
    Limit("starts", "  docker run --network none / before", "docker run ms", "before first docker ms"),
    Limit(
        "starts", "Docker: from the pool / cold before", "now pool docker ms", "before first docker ms", 0.2
    ),
    Limit("commands", "warm command, embedded / bare pipe", "now warm embedded ms", "bare pipe ms", 1.3),
    Limit("commands", "  before / bare pipe", "before warm embedded ms", "bare pipe ms"),
    Limit("commands", "  pipe through a Python relay / bare pipe", "relayed pipe ms", "bare pipe ms"),
    Limit("commands", "  bash that keeps its state, on a pipe / bare pipe", "kept shell ms", "bare pipe ms"),
    Limit("commands", "  p95 / median", "now warm embedded p95 ms", "now warm embedded ms", 2.0),
    Limit("commands", "warm command, Docker / bare pipe", "now warm docker ms", "bare pipe ms", 1.5),
    Limit("commands", "  before / bare pipe", "before warm docker ms", "bare pipe ms"),
    Limit("commands", "  bare pipe in Docker / bare pipe", "bare pipe in Docker ms", "bare pipe ms"),
    Limit("commands", "  p95 / median", "now warm docker p95 ms", "now warm docker ms", 2.0),
    _builds("commands", "command in a turn adds", "command in a turn adds ms", 0.6),
    Limit(
        "uploads",
        "upload, embedded: before / now",
        "before upload embedded s",
        "now upload embedded s",
        least=3.0,
    ),
    Limit("uploads", "  before / cp", "before upload embedded s", "cp s"),
    Limit("uploads", "upload, Docker / docker cp", "now upload docker s", "docker cp s", 1.0),
    Limit("stores", "turn 2,000 of a chain / turn 2", "chain", most=1.2),
    Limit("stores", "turn in a store of 200,000 / empty", "large", most=1.1),
    Limit("stores", "p95 during expiry / without", "expiry", most=1.5),
    Limit("stores", "opening a store of 200,000 / empty", "opening", most=3.0),
    Limit("kernel", "kernel start / ipykernel", "now kernel seconds", "ipykernel seconds", 0.9),
    Limit("kernel", "  bare kernel / ipykernel", "bare kernel seconds", "ipykernel seconds"),
    Limit("kernel", "kernel memory / ipykernel", "now kernel megabytes", "ipykernel megabytes", 0.8),
    Limit("kernel", "  bare kernel / ipykernel", "bare kernel megabytes", "ipykernel megabytes"),
)
