"""Replies to execute requests. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from agent_kernel.errors import AgentKernelError

Reply = dict[str, Any]

WIDTH = 79
"""The longest line of an error's text, in characters, unless a word is longer."""

_AS_WRITTEN: Any = {"break_long_words": False, "break_on_hyphens": False, "replace_whitespace": False}


class CellRaised(AgentKernelError):
    """A cell's own code raised an exception. `content` is that of the iopub message `error`."""

    fault = "caller"

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(str(content["evalue"]))
        self.content = content


def succeeded(execution_count: int, payload: Sequence[dict[str, Any]] = ()) -> Reply:
    """Return the reply to a cell that succeeded; `payload` has pages for the front end's pager."""
    return {
        "status": "ok",
        "execution_count": execution_count,
        "payload": list(payload),
        "user_expressions": {},
    }


def error_content(ename: str, message: str) -> dict[str, Any]:
    """Return the content of an iopub `error` message, safe to show in a terminal.

    Front ends show the `traceback`: the message alone, for people. It is broken into lines here, because they
    break it inside words. The name is for programs.
    """
    from agent_kernel.kernel.render.text import clean

    shown = clean(message)
    lines = [textwrap.fill(line, WIDTH, **_AS_WRITTEN) for line in shown.split("\n")]
    return {"ename": clean(ename), "evalue": shown, "traceback": ["\n".join(lines)]}


def stopped_after(seconds: float, *, by_person: bool) -> str:
    """Return what an interrupted cell says. In a batch run a program interrupts, and nobody is "you"."""
    whole = max(1, round(seconds))
    took = f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
    return f"Stopped{' by you' * by_person} after {took}. Work done so far is kept."


def described(error: BaseException) -> tuple[str, str]:
    """Return the name and message to show for an exception raised by a cell."""
    if isinstance(error, AgentKernelError):
        return getattr(error, "ename", type(error).__name__), str(error)
    return type(error).__name__, "Internal error in the kernel. Details are in its log."
