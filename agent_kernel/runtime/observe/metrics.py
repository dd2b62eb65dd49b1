"""Count what this process has done, for Prometheus. docs/api.md lists the metrics.

Counting is a few dictionary look-ups. `prometheus_client` is imported with the first scrape: it collects,
formats and adds the process's own metrics. A notebook's kernel, which is never scraped, never loads it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

Labels = tuple[tuple[str, str], ...]

PREFIX = "agent_kernel_"

COUNTERS: Mapping[str, str] = {
    "turns_total": "Turns that ended.",
    "tokens_total": "Tokens, as reported by the models' servers.",
    "commands_total": "Shell commands that ended.",
    "calls_total": "Tool calls that ended.",
    "sandbox_cpu_seconds_total": "Processor time of sandboxes, in seconds.",
    "sandbox_memory_byte_seconds_total": "Memory that sandboxes held while calls ran, in bytes by seconds.",
    "sandbox_sent_bytes_total": "Bytes that programs in sandboxes sent out.",
    "sandbox_unmeasured_turns_total": "Turns whose processor time and memory were not measured.",
}
"""The counters and their help texts."""

TURN_SECONDS = "turn_seconds"
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Upper bounds of the histogram `turn_seconds`. A turn may be one command or an hour of work."""

GAUGES: Mapping[str, str] = {
    "containers": "Containers that are running, in this store.",
    "background_turns": "Background turns that are running, in this process.",
}

STATUSES = ("completed", "incomplete", "failed", "cancelled")


@dataclass
class _Counts:
    """The counts of one key."""

    counters: dict[tuple[str, Labels], float] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class Metrics:
    """The metrics of one key. Those of the key without a name show the counts of all keys."""

    def __init__(self, key: str = "", all_keys: dict[str, _Counts] | None = None) -> None:
        self._key = key
        self._all = {} if all_keys is None else all_keys
        self._mine = self._all.setdefault(key, _Counts())
        for status in STATUSES:  # so that a rate can be computed from the first turn on
            self.count("turns_total", 0, status=status)

    def of(self, key: str) -> Metrics:
        """Return the metrics of the key with this name."""
        return Metrics(key, self._all)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to the counter `name`, one of `COUNTERS`."""
        key = name, tuple(sorted(labels.items()))
        self._mine.counters[key] = self._mine.counters.get(key, 0) + amount

    def turn_took(self, seconds: float) -> None:
        """Record the duration of a turn."""
        self._mine.buckets[bisect_left(BUCKETS, seconds)] += 1
        self._mine.seconds += seconds

    def render(self, gauges: Mapping[str, float]) -> str:
        """Return all metrics that this key may see, as text. `gauges` has the current values of `GAUGES`."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry()  # one for each scrape: nothing is shared with other libraries
        seen = {self._key: self._mine} if self._key else self._all
        registry.register(_Collector(seen, gauges))
        if not self._key:
            ProcessCollector(registry=registry)
        return generate_latest(registry).decode()


class _Collector:
    """Hands the counts of some keys to prometheus_client."""

    def __init__(self, seen: Mapping[str, _Counts], gauges: Mapping[str, float]) -> None:
        self._seen = seen
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once, with the samples of all keys."""
        from prometheus_client.core import GaugeMetricFamily, Metric

        for name, text in COUNTERS.items():
            family = Metric(PREFIX + name.removesuffix("_total"), text, "counter")
            for labels, value in self._samples(name):
                family.add_sample(PREFIX + name, labels, value)
            yield family
        turns = Metric(PREFIX + TURN_SECONDS, "Duration of turns in seconds.", "histogram")
        for key, counts in sorted(self._seen.items()):
            for suffix, labels, value in _histogram(counts.buckets, counts.seconds):
                turns.add_sample(PREFIX + TURN_SECONDS + suffix, {**labels, **_label(key)}, value)
        yield turns
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(PREFIX + name, text, value=self._gauges[name])

    def _samples(self, wanted: str) -> Iterator[tuple[dict[str, str], float]]:
        for key, counts in sorted(self._seen.items()):
            for (name, labels), value in sorted(counts.counters.items()):
                if name == wanted:
                    yield {**dict(labels), **_label(key)}, value


def _label(key: str) -> dict[str, str]:
    return {"key": key} if key else {}


def _histogram(buckets: Sequence[int], seconds: float) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield a histogram's samples: cumulative buckets, count and sum."""
    total = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
        total += count
        yield "_bucket", {"le": bound}, total
    yield "_count", {}, total
    yield "_sum", {}, seconds
