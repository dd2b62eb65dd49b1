"""Protects boxd from the commands it runs: they have its user, so they could trace, stop or rewrite it.

A stopped boxd would outlive its lease. The kernel lets no process trace one that is not dumpable.
"""

from __future__ import annotations

_PR_SET_DUMPABLE = 4


def close() -> None:
    """Prevent other processes from tracing this one and from opening its memory."""
    _set_dumpable(0)


def reopen() -> None:
    """Undo `close` in a child that is about to become an ordinary command."""
    _set_dumpable(1)


def _set_dumpable(value: int) -> None:
    try:
        import ctypes
    except ImportError:  # a Python built without it: only this guard is missing
        return
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, value, 0, 0, 0)
