"""Compare a run of an exported notebook with the conversation: files, and what steps printed. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_kernel.cassettes.cassette import PrintedOutput, RecordedCell, SaidCall
from agent_kernel.cassettes.drift import compare, report_lines
from agent_kernel.cassettes.text import kept as kept_text
from agent_kernel.conversion.code.plan import KeptStep
from agent_kernel.conversion.code.rerun import CodeRun
from agent_kernel.conversion.containers import WorkspaceFile
from agent_kernel.conversion.exchanges import displayed_in, printed_in

MOST_LINES = 6
"""Lines of one file's difference that are shown."""

_TIMES = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d"
    r" \d\d:\d\d:\d\d(?: \w+)? \d{4}"
    r"|\b\d\d:\d\d:\d\d(?:\.\d+)?\b"
)
_CACHES = re.compile(r"(?:^|/)(?:__pycache__|\.cache|\.config|\.ipynb_checkpoints)/")


@dataclass(frozen=True)
class Verified:
    """What was found the same, and lines about what was not: of files, and of what steps printed."""

    files: int
    steps: int
    problems: tuple[str, ...]


def verified(
    kept: Sequence[KeptStep],
    runs: Sequence[CodeRun],
    expected: Mapping[str, WorkspaceFile],
    got: Mapping[str, WorkspaceFile],
) -> Verified:
    """Compare a run of the kept steps, and the files before and after. Times in texts may differ."""
    problems: list[str] = []
    same_steps = 0
    for number, each in enumerate(kept):
        found = list(_printed(number + 1, each, runs[number] if number < len(runs) else None))
        problems += found
        same_steps += not found
    names = sorted({*expected, *got})
    wrong = [line for name in names if (line := _file(name, expected.get(name), got.get(name)))]
    compared = sum(name in expected and not _CACHES.search(name) for name in names)
    differing = sum(not line.startswith("Only the new run") for line in wrong)
    return Verified(compared - differing, same_steps, (*problems, *wrong))


def _printed(number: int, kept: KeptStep, run: CodeRun | None) -> Iterator[str]:
    if run is None:
        yield f"Step {number} did not run, because an earlier one could not."
        return
    if run.ended and not kept.step.ended:
        yield f"Step {number} failed: {run.ended}"
        return
    before, after = _without_times(kept.step.stdout), _without_times(printed_in(run.outputs))
    report = compare(_recorded(number, kept, before), _recorded(number, kept, after))
    if lines := report_lines(report):
        yield f"Step {number} printed something else:\n" + "\n".join(f"    {line}" for line in lines[1:])
    if len(pictures := [*displayed_in(run.outputs)]) != len(kept.step.pictures):
        yield f"Step {number} has shown {len(pictures)} pictures, not {len(kept.step.pictures)}."
    elif pictures != list(kept.step.pictures):
        yield f"Step {number} has shown another picture: not the same bytes."


def _recorded(number: int, kept: KeptStep, text: str) -> RecordedCell:
    printed = (PrintedOutput(kept_text(text)),)
    call = SaidCall(kept.step.language, {"code": kept.step.code}, printed)
    return RecordedCell(f"step-{number}", "", "", "", ((call,),))


def _file(name: str, before: WorkspaceFile | None, after: WorkspaceFile | None) -> str:
    """Return a line about a file that differs, empty if it does not."""
    if _CACHES.search(name):
        return ""
    if before is None:
        return f"Only the new run made {name}."
    if after is None:
        return f"The new run did not make {name}."
    if before.sha256 == after.sha256:
        return ""
    if before.text is None or after.text is None:
        return f"{name} has other bytes: {before.bytes:,} before, {after.bytes:,} now."
    if _without_times(before.text) == _without_times(after.text):
        return ""
    lines = _difference(before.text, after.text)
    return f"{name} differs:\n" + "\n".join(f"    {line}" for line in lines)


def _difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    changed = [line[:200] for line in lines if not line.startswith(("---", "+++", "@@"))]
    more = len(changed) - MOST_LINES
    return [*changed[:MOST_LINES], *([f"… and {more:,} more lines"] if more > 0 else [])]


def _without_times(text: str) -> str:
    return _TIMES.sub("<time>", text)
