"""Replies to execute requests. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_kernel.errors import AgentKernelError

Reply = dict[str, Any]


def succeeded(execution_count: int, payload: Sequence[dict[str, Any]] = ()) -> Reply:
    """Return the reply to a cell that succeeded; `payload` has pages for the front end's pager."""
    return {
        "status": "ok",
        "execution_count": execution_count,
        "payload": list(payload),
        "user_expressions": {},
    }


def error_content(ename: str, message: str) -> dict[str, Any]:
    """Return the content of an iopub `error` message, safe to show in a terminal."""
    from agent_kernel.kernel.render.text import clean

    shown = clean(message)
    return {
        "ename": clean(ename),
        "evalue": shown,
        "traceback": [f"\x1b[31m{clean(ename)}\x1b[0m: {shown}"],
    }


def described(error: BaseException) -> tuple[str, str]:
    """Return the name and message to show for an exception raised by a cell."""
    if isinstance(error, AgentKernelError):
        return getattr(error, "ename", type(error).__name__), str(error)
    return type(error).__name__, "Internal error in the kernel. Details are in its log."
