"""boxd out of reach of the commands it runs: they have its user, and so could trace, stop or rewrite it.

A boxd that was stopped would outlive its lease. The kernel lets nobody trace a process that is not dumpable.
"""

from __future__ import annotations

_PR_SET_DUMPABLE = 4


def close() -> None:
    """Let no other process trace this one, nor open its memory."""
    _set_dumpable(0)


def reopen() -> None:
    """Undo `close` in a child, which is about to become an ordinary command."""
    _set_dumpable(1)


def _set_dumpable(value: int) -> None:
    try:
        import ctypes
    except ImportError:  # a Python built without it: nothing but this guard is missing
        return
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, value, 0, 0, 0)
