"""Outputs as cassettes keep and compare them: without what differs from run to run, and bounded. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

HEAD, TAIL = 40, 20
"""Lines kept of the beginning and the end of one output."""

WIDTH = 400
"""Characters kept of one line."""

MAX_READ = 1 << 20
"""Characters of one output that are looked at."""

LEFT_OUT = re.compile(r"\[… \d+ lines? more, digest [0-9a-f]{12}\]")
"""The line in the place of lines that are not kept."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def lines_of(text: str) -> list[str]:
    """Return the lines of an output: no colours, no addresses in memory, no white space at their ends.

    Of a line that was written over, the last state counts.
    """
    plain = _ESCAPES.sub("", text[:MAX_READ]).replace("\r\n", "\n")
    lines = [_line(each) for each in plain.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _line(text: str) -> str:
    last = text.rstrip("\r").rpartition("\r")[2]
    clean = _ADDRESS.sub("0x…", _CONTROL.sub("�", last.expandtabs(4))).rstrip()
    return clean if len(clean) <= WIDTH else clean[: WIDTH - 1] + "…"


def kept(text: str) -> str:
    """Return an output as a cassette keeps it. Of a long one, head, tail and a digest of the rest."""
    lines = lines_of(text)
    if len(lines) > HEAD + TAIL:
        rest = lines[HEAD:-TAIL]
        lines = [*lines[:HEAD], _marker(rest), *lines[-TAIL:]]
    return "\n".join(lines)


def _marker(lines: Iterable[str]) -> str:
    rest = list(lines)
    found = hashlib.sha256("\n".join(rest).encode()).hexdigest()[:12]
    return f"[… {len(rest)} line{'' if len(rest) == 1 else 's'} more, digest {found}]"
