"""Compare what the calls of a cell printed with what its cassette has, line by line. Pure."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from agent_kernel.cassettes.cassette import PrintedOutput, RecordedCell, Surroundings, first_words
from agent_kernel.cassettes.text import LEFT_OUT

MOST_LINES = 40
"""Lines of one report; the rest is counted."""

_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?![\w])")
_STREAMS = ("stdout", "stderr", "ended")


@dataclass(frozen=True)
class DriftLine:
    """One line that differs: None on the side that does not have it. `numbers` say by how much."""

    expected: str | None
    got: str | None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandDrift:
    """A command that printed something else. `stream` is `stdout`, `stderr` or `ended`."""

    step: int
    command: str
    stream: str
    lines: tuple[DriftLine, ...]


@dataclass(frozen=True)
class DriftReport:
    """The differences of one cell. `around` are sentences about what else is different."""

    cell: str
    compared: int
    commands: tuple[CommandDrift, ...] = ()
    around: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> int:
        """The number of commands that printed something else."""
        return len({(each.step, each.command) for each in self.commands})


def compare(recorded: RecordedCell, ran: RecordedCell, ignore: Sequence[str] = ()) -> DriftReport:
    """Compare the calls of two runs of a cell, in order.

    Lines that match one of the patterns `ignore`, with `*` and `?` as in file names, are left out on both
    sides; what is not kept of a long output is then not compared either.
    """
    matcher = _Ignored(ignore)
    drifts: list[CommandDrift] = []
    compared = 0
    ours = ran.calls()
    for place, (step, call) in enumerate(recorded.calls()):
        got = ours[place][1] if place < len(ours) else None
        if call.printed is None or got is None or got.printed is None:
            continue
        for command, before, after in zip(call.commands, call.printed, got.printed, strict=False):
            compared += 1
            drifts += _command(step, command, before, after, matcher)
    return DriftReport(recorded.name, compared, tuple(drifts))


def _command(
    step: int, command: str, before: PrintedOutput, after: PrintedOutput, ignored: _Ignored
) -> Iterator[CommandDrift]:
    for stream in _STREAMS:
        lines = tuple(_lines(ignored.rest(getattr(before, stream)), ignored.rest(getattr(after, stream))))
        if lines:
            yield CommandDrift(step, first_words(command), stream, lines)


class _Ignored:
    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [re.compile(fnmatch.translate(each)) for each in patterns]

    def rest(self, text: str) -> list[str]:
        """Return the lines that are compared."""
        if not self._patterns:
            return text.split("\n") if text else []
        lines = [line for line in text.split("\n") if not LEFT_OUT.fullmatch(line)] if text else []
        return [line for line in lines if not any(each.match(line) for each in self._patterns)]


def _lines(before: list[str], after: list[str]) -> Iterator[DriftLine]:
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for place in range(max(b - a, d - c)):
            old = before[a + place] if a + place < b else None
            new = after[c + place] if c + place < d else None
            numbers = numbers_between(old, new) if old is not None and new is not None else ()
            yield DriftLine(old, new, numbers)


def numbers_between(old: str, new: str) -> tuple[str, ...]:
    """Return how the numbers of two lines differ, if nothing else does: `1 → 3 (+2)`."""
    if _NUMBER.sub("#", old) != _NUMBER.sub("#", new):
        return ()
    pairs = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True)
    return tuple(f"{one} → {other}{_difference(one, other)}" for one, other in pairs if one != other)


def _difference(one: str, other: str) -> str:
    try:
        before, after = (Decimal(each.replace(",", "").replace("−", "-")) for each in (one, other))
        change = after - before
    except (InvalidOperation, OverflowError):
        return ""
    if not change:
        return ""
    shown = f"{change:+f}" if -12 < change.adjusted() < 15 else f"{change:+.6e}"
    percent = f", {float(change / abs(before)):+.2%}" if before and abs(change / before) < 1000 else ""
    return f" ({shown}{percent})"


def around(recorded: Surroundings, now: Surroundings, *, request: bool = False) -> tuple[str, ...]:
    """Return what else differs, a sentence each: sandbox, image, packages, and the `request`."""
    said = []
    if request:
        said.append("The request is not the recorded one: its instructions or its tools differ.")
    for name, old, new in (("sandbox", recorded.sandbox, now.sandbox), ("image", recorded.image, now.image)):
        if old and new and old != new:
            said.append(f"The {name} is {new}, recorded was {old}.")
    if changed := list(_packages(recorded.packages, now.packages)):
        more = f" and {len(changed) - 12} more" if len(changed) > 12 else ""
        said.append(f"Packages: {', '.join(changed[:12])}{more}.")
    return tuple(said)


def _packages(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Yield which of the recorded packages changed. Nothing is known of those that are only here now."""
    for name in sorted(old if new else ()):
        if (one := old[name]) != (other := new.get(name)):
            yield f"{name} {one} → {other or 'absent'}"


def report_lines(report: DriftReport) -> list[str]:
    """Return a report as lines of plain text: per command what was expected and what came."""
    found: list[str] = []
    for drift in report.commands:
        stream = "" if drift.stream == "stdout" else f" ({drift.stream})"
        found.append(f"step {drift.step}, {drift.command}{stream}")
        for line in drift.lines:
            found.append(f"  expected  {_side(line.expected)}")
            found.append(f"  got       {_side(line.got)}")
            if line.numbers:
                found.append(f"            {'; '.join(line.numbers)}")
    if len(found) > MOST_LINES:
        found[MOST_LINES:] = [f"… and {len(found) - MOST_LINES} more lines"]
    return [*found, *report.around]


def first_difference(report: DriftReport) -> str:
    """Return the first difference of a report that has one: step, command, and what differs."""
    drift = report.commands[0]
    line = next((each for each in drift.lines if each.numbers), drift.lines[0])
    what = "; ".join(line.numbers) or f"{_side(line.got)} instead of {_side(line.expected)}"
    return f"Step {drift.step}, {first_words(drift.command)}: {first_words(what)}."


def _side(line: str | None) -> str:
    return "(no such line)" if line is None else line or "(an empty line)"
