"""Tab, Shift-Tab and Enter in a `%%python` cell. The session completes and explains; nothing is run."""

from __future__ import annotations

import codeop
import logging
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.cells import MagicLine, parse
from agent_kernel.kernel.python.asking import ask

if TYPE_CHECKING:
    from agent_kernel.kernel.python.base import SessionUser

log = logging.getLogger(__name__)

LONGEST = 100_000
"""Characters of code that is completed, explained or checked."""

_LINE = re.compile(r"^[ \t]*%%python\b[^\n]*\n", re.MULTILINE)
_IPYTHON = re.compile(r"^\s*[!%]|\?\s*$", re.MULTILINE)
"""Lines that are code for IPython only."""


@dataclass(frozen=True)
class PythonPart:
    """The code of a `%%python` cell, and the place in the cell where it begins."""

    code: str
    start: int


def python_part(source: str) -> PythonPart | None:
    """Return the code of a cell that is Python, None of any other."""
    lines = parse(source).lines
    found = _LINE.search(source)
    if not lines or not isinstance(lines[-1], MagicLine) or lines[-1].name != "%python" or not found:
        return None
    return PythonPart(source[found.end() :], found.end())


async def complete(notebook: SessionUser, part: PythonPart, cursor: int) -> tuple[list[str], int, int]:
    """Return the completions at a place in the cell, and the start and end of what they replace."""
    nothing: tuple[list[str], int, int] = ([], cursor, cursor)
    at = cursor - part.start
    if len(part.code) > LONGEST:
        return nothing
    try:
        answer = await ask(notebook, {"ask": "complete", "code": part.code, "cursor": at})
    except AgentKernelError:
        log.info("Python could not be completed.", exc_info=True)
        return nothing
    if answer is None or not answer.get("matches") or not answer["start"] <= answer["end"] == at:
        return nothing
    return list(answer["matches"]), part.start + answer["start"], part.start + answer["end"]


async def explain(notebook: SessionUser, part: PythonPart, cursor: int, detail: int) -> str | None:
    """Return the session's help about what is at a place in the cell, None if it knows nothing."""
    from agent_kernel.kernel.render.text import clean

    if len(part.code) > LONGEST:
        return None
    question = {"ask": "inspect", "code": part.code, "cursor": cursor - part.start, "detail": min(detail, 1)}
    try:
        answer = await ask(notebook, question)
    except AgentKernelError:
        log.info("Python could not be explained.", exc_info=True)
        return None
    text = answer.get("text") if answer is not None else None
    return clean(text) if text else None


def completeness(code: str) -> Literal["complete", "incomplete", "invalid"]:
    """Return whether a console should send this code. It is compiled and not run."""
    if not code.strip():
        return "incomplete"
    if len(code) > LONGEST or _IPYTHON.search(code):
        return "complete"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = codeop.compile_command(code, symbol="exec")
    except (SyntaxError, ValueError, OverflowError):
        return "invalid"
    except (RecursionError, MemoryError):
        return "complete"
    return "incomplete" if made is None else "complete"
