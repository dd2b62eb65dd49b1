"""Progress of long work that a call waits for, for display.

`listening` sets the listener of the calls that are made inside it, in this task and those that it starts. A
listener gets one sentence at a time, on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the progress of the calls inside to `listener`."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def listener() -> Listener | None:
    """Return the listener of the current call, if there is one."""
    return _LISTENER.get()
