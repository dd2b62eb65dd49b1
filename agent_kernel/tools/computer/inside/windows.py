"""The windows that the window manager knows."""

from __future__ import annotations

import struct
import time

from agent_kernel.tools.computer.inside import x11

_PROPERTY_CHANGES, _TO_MANAGER = 0x400000, 0x180000
_CLIENT_MESSAGE, _FROM_A_PAGER = 33, 2
_MOST = 1000
_DEEPEST = 8


def wait_for_first(x: x11.Connection, until: float) -> bool:
    """Wait until there is a window, at most until the time `until` (monotonic). Return whether there is."""
    _select(x, _PROPERTY_CHANGES)
    try:
        while not (found := _listed(x, "_NET_CLIENT_LIST")) and not x.woken and time.monotonic() < until:
            x.events(until)
        return bool(found)
    finally:
        _select(x, 0)


def has_window(x: x11.Connection, process: int) -> bool:
    """Return whether a process has a window that the manager lists."""
    try:
        return any(process in _property(x, each, "_NET_WM_PID") for each in _listed(x, "_NET_CLIENT_LIST"))
    except x11.ServerError:  # one of them has just been closed
        return False


def activate_under_pointer(x: x11.Connection) -> None:
    """Raise the window under the pointer and give it the focus, unless it has it.

    The window manager could do so at a click. For that it would hold back each click for a while, and lose
    some of them when the keyboard's map changes in that time.
    """
    windows = _listed(x, "_NET_CLIENT_LIST")
    window = x.root
    for _ in range(_DEEPEST):
        (window,) = struct.unpack_from("<I", x.ask(38, 0, struct.pack("<I", window)), 12)
        if window in windows:
            break
        if not window:
            return
    if window in windows and window not in _listed(x, "_NET_ACTIVE_WINDOW"):
        message = (window, x.atom("_NET_ACTIVE_WINDOW"), _FROM_A_PAGER, 0, 0, 0, 0)
        event = struct.pack("<BBH7I", _CLIENT_MESSAGE, 32, 0, *message)
        x.request(25, 0, struct.pack("<II", x.root, _TO_MANAGER) + event)
        x.sync()


def _listed(x: x11.Connection, name: str) -> tuple[int, ...]:
    """Return the windows that a property of the root window lists."""
    return _property(x, x.root, name)


def _property(x: x11.Connection, window: int, name: str) -> tuple[int, ...]:
    answer = x.ask(20, 0, struct.pack("<IIIII", window, x.atom(name), 0, 0, _MOST))
    (count,) = struct.unpack_from("<I", answer, 16)
    return struct.unpack_from("<%dI" % count, answer, 32)


def _select(x: x11.Connection, mask: int) -> None:
    x.request(2, 0, struct.pack("<III", x.root, 0x800, mask))
    x.sync()
