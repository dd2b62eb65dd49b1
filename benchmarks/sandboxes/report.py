"""The table, and what the project promises beside what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Cells = Mapping[str, Mapping[str, float | str]]
"""By contender, by figure: a number, or in words why there is none."""

COLUMNS = {
    "warm": ("warm, ms", "{:.2f}"),
    "first": ("first, ms", "{:.0f}"),
    "pool": ("from pool, ms", "{:.1f}"),
    "output": ("output, MB/s", "{:.0f}"),
    "upload": ("upload, s", "{:.2f}"),
    "checkpoint": ("checkpoint, ms", "{:.0f}"),
    "restore": ("restore, ms", "{:.0f}"),
    "memory": ("crowd, MB each", "{:.1f}"),
    "in turn": ("crowd, p95 ms", "{:.1f}"),
    "together": ("together, p95 ms", "{:.1f}"),
}
DOCKER, EMBEDDED = "agent-kernel, docker", "agent-kernel, bubblewrap"


@dataclass(frozen=True)
class Target:
    """A promise: `found` (a ratio, or ms) is to be `limit` at most (or, with `at_least`, at least)."""

    words: str
    limit: float
    unit: str
    found: Callable[[Cells], float | None]
    at_least: bool = False

    def judge(self, cells: Cells) -> dict[str, object]:
        """The target with what was found; `met` is None where something was not measured."""
        found = self.found(cells)
        met = None if found is None else (found >= self.limit if self.at_least else found <= self.limit)
        return {"target": self.words, "limit": self.limit, "unit": self.unit, "found": found, "met": met}


def _figure(row: str, column: str) -> Callable[[Cells], float | None]:
    def find(cells: Cells) -> float | None:
        value = cells.get(row, {}).get(column)
        return value if isinstance(value, float) else None

    return find


def _ratio(row: str, other: str, column: str) -> Callable[[Cells], float | None]:
    def find(cells: Cells) -> float | None:
        ours, theirs = _figure(row, column)(cells), _figure(other, column)(cells)
        return None if ours is None or theirs is None else ours / theirs

    return find


TARGETS = (
    Target("warm, Docker / bare pipe in Docker", 2, "x", _ratio(DOCKER, "bare pipe in Docker", "warm")),
    Target("warm, Docker", 3, "ms", _figure(DOCKER, "warm")),
    Target("first, Docker / docker run", 1.15, "x", _ratio(DOCKER, "docker run", "first")),
    Target("first, embedded", 50, "ms", _figure(EMBEDDED, "first")),
    Target("from the warm pool, Docker", 50, "ms", _figure(DOCKER, "pool")),
    Target("from the warm pool, embedded", 50, "ms", _figure(EMBEDDED, "pool")),
    Target("output, Docker / docker exec | cat", 0.5, "x", _ratio(DOCKER, "docker exec", "output"), True),
    Target("upload, Docker / docker cp", 1.3, "x", _ratio(DOCKER, "docker exec", "upload")),
    Target("checkpoint, Docker", 300, "ms", _figure(DOCKER, "checkpoint")),
    Target("restore, Docker", 300, "ms", _figure(DOCKER, "restore")),
    Target("checkpoint, embedded", 50, "ms", _figure(EMBEDDED, "checkpoint")),
    Target("restore, embedded", 50, "ms", _figure(EMBEDDED, "restore")),
)
COMPARED = (
    ("first, Docker / docker run --network none", "docker run --network none", "first"),
    ("warm, docker exec / Docker", "docker exec", "warm"),
    ("warm, docker-py / Docker", "docker-py exec_run", "warm"),
    ("warm, llm-sandbox / Docker", "llm-sandbox", "warm"),
    ("warm, AutoGen / Docker", "AutoGen", "warm"),
    ("warm, openai-agents / Docker", "openai-agents", "warm"),
)


def judged(cells: Cells) -> list[dict[str, object]]:
    """Every target with what was found."""
    return [target.judge(cells) for target in TARGETS]


def ratios(cells: Cells) -> dict[str, float]:
    """Further ratios, for the reader; nothing is promised about them."""
    found = {}
    for words, other, column in COMPARED:
        names = (DOCKER, other) if words.endswith(other) else (other, DOCKER)
        value = _ratio(*names, column)(cells)
        if value is not None:
            found[words] = value
    return found


def table(cells: Cells) -> str:
    """Contenders in rows, figures in columns; the words for what is missing follow as notes."""
    used = {column: form for column, form in COLUMNS.items() if any(column in row for row in cells.values())}
    lines = [" " * 26 + "".join(f"{head:>18}" for head, _ in used.values())]
    notes: list[str] = []
    for name, row in cells.items():
        line = f"{name:<26}"
        for column, (_, form) in used.items():
            value = row.get(column, "-")
            if isinstance(value, str) and len(value) > 1:
                if value not in notes:
                    notes.append(value)
                value = f"({notes.index(value) + 1})"
            line += f"{value if isinstance(value, str) else form.format(value):>18}"
        lines.append(line)
    return "\n".join([*lines, *(f"({number}) {note}" for number, note in enumerate(notes, 1))])


def verdicts(cells: Cells) -> str:
    """Every target in a line, then the further ratios."""
    lines = []
    for target in TARGETS:
        verdict = target.judge(cells)
        found = "not measured" if verdict["found"] is None else f"{verdict['found']:.2f} {target.unit}"
        word = "" if verdict["met"] is None else "met" if verdict["met"] else "NOT MET"
        bound = f"{'>=' if target.at_least else '<='} {target.limit:g} {target.unit}"
        lines.append(f"{target.words:<44}{found:>14}   {bound:<12}{word}")
    lines += [f"{words:<44}{value:>12.2f} x" for words, value in ratios(cells).items()]
    return "\n".join(lines)
