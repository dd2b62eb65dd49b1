"""Counts of what this process has done, in the text format that Prometheus reads."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping


class Metrics:
    """Counters and gauges by name and labels; names are documented in docs/api.md."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._key = ""
        self._begin()

    def _begin(self) -> None:
        for status in ("completed", "incomplete", "failed", "cancelled"):
            self.count("turns_total", 0, status=status)

    def of(self, key: str) -> Metrics:
        """Those of the key of this name: it adds to them, labelled so, and sees no others. "" sees all."""
        view = copy.copy(self)
        view._key = key
        view._begin()
        return view

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        if self._key:
            labels["key"] = self._key
        key = name, tuple(sorted(labels.items()))
        self._counts[key] = self._counts.get(key, 0) + amount

    def render(self, gauges: Mapping[str, float]) -> str:
        """Write all of it; `gauges` are what is true now."""
        lines: list[str] = []
        for name in sorted({name for name, labels in self._counts if self._sees(labels)}):
            lines.append(f"# TYPE agent_kernel_{name} counter")
            lines += self._samples(name)
        for name, value in sorted(gauges.items()):
            lines += [f"# TYPE agent_kernel_{name} gauge", f"agent_kernel_{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _samples(self, wanted: str) -> Iterator[str]:
        for (name, labels), value in sorted(self._counts.items()):
            if name == wanted and self._sees(labels):
                shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
                yield (
                    f"agent_kernel_{name}{{{shown}}} {value!r}" if shown else f"agent_kernel_{name} {value!r}"
                )

    def _sees(self, labels: tuple[tuple[str, str], ...]) -> bool:
        return not self._key or ("key", self._key) in labels


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
