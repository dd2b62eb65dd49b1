"""Carries out one action of the Responses API's tool `computer` on a desktop."""

from __future__ import annotations

import time

from agent_kernel.tools.computer.inside import names, pointer, windows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agent_kernel.tools.computer.inside.desktop import Desktop

_WAIT_FOR_CHANGE = 2.0
_WAIT_QUIET = 0.4
_WAIT_LONGEST = 10.0
_WAIT_STEP = 0.2


class BadAction(Exception):
    """An action that cannot be carried out. The text says why, for the model."""


def perform(desktop: Desktop, action: Mapping[str, Any]) -> None:
    """Carry out one action. Raises `BadAction`; keys and buttons may be pressed then, see `Desktop.release`.

    The shapes were checked by the host; the places and the names of keys are checked here.
    """
    _PERFORM[action["type"]](desktop, action)


def _click(desktop: Desktop, action: Mapping[str, Any]) -> None:
    with_keys = _chord(action.get("keys") or [])
    place = _place(desktop, action)
    desktop.keyboard.hold(with_keys)
    desktop.pointer.move(*place)
    windows.activate_under_pointer(desktop.connection)
    more = action.get("agent_kernel") or {}
    times = more.get("clicks", 2) if action["type"] == "double_click" else 1
    desktop.pointer.click(pointer.BUTTONS[action.get("button") or "left"], times)
    desktop.keyboard.release()


def _move(desktop: Desktop, action: Mapping[str, Any]) -> None:
    place = _place(desktop, action)
    desktop.keyboard.hold(_chord(action.get("keys") or []))
    desktop.pointer.move(*place)
    desktop.keyboard.release()


def _drag(desktop: Desktop, action: Mapping[str, Any]) -> None:
    path = [_place(desktop, point) for point in action["path"]]
    desktop.keyboard.hold(_chord(action.get("keys") or []))
    desktop.pointer.move(*path[0])
    windows.activate_under_pointer(desktop.connection)
    desktop.pointer.drag(path)
    desktop.keyboard.release()


def _scroll(desktop: Desktop, action: Mapping[str, Any]) -> None:
    place = _place(desktop, action)
    desktop.keyboard.hold(_chord(action.get("keys") or []))
    desktop.pointer.move(*place)
    desktop.pointer.scroll(action.get("scroll_x") or 0, action.get("scroll_y") or 0)
    desktop.keyboard.release()


def _keypress(desktop: Desktop, action: Mapping[str, Any]) -> None:
    chord = _chord(action["keys"])
    seconds = (action.get("agent_kernel") or {}).get("seconds")
    if not seconds:
        desktop.keyboard.press(chord)
        return
    desktop.keyboard.hold(chord)
    until = time.monotonic() + seconds
    while not desktop.connection.woken and time.monotonic() < until:
        desktop.screen.changed(until)
    desktop.keyboard.release()


def _type(desktop: Desktop, action: Mapping[str, Any]) -> None:
    desktop.keyboard.type(action["text"])


def _wait(desktop: Desktop, action: Mapping[str, Any]) -> None:
    end = time.monotonic() + _WAIT_LONGEST
    if desktop.screen.changed(time.monotonic() + _WAIT_FOR_CHANGE):
        desktop.screen.rest(_WAIT_QUIET, _WAIT_LONGEST)
    pages = desktop.programs.pages
    if pages is None or pages.loaded(time.monotonic()):
        return
    while not desktop.connection.woken and time.monotonic() < end and not pages.loaded(_soon()):
        desktop.screen.changed(time.monotonic())
    desktop.screen.rest(_WAIT_QUIET, max(0.0, end - time.monotonic()))


def _soon() -> float:
    return time.monotonic() + _WAIT_STEP


def _nothing(desktop: Desktop, action: Mapping[str, Any]) -> None:
    """A screenshot follows every action."""


_PERFORM = {
    "click": _click,
    "double_click": _click,
    "drag": _drag,
    "keypress": _keypress,
    "move": _move,
    "screenshot": _nothing,
    "scroll": _scroll,
    "type": _type,
    "wait": _wait,
}


def _chord(keys: list[str]) -> list[int]:
    found = names.chord_of(keys)
    if isinstance(found, str):
        raise BadAction("There is no key with the name %r." % found[:40])
    return found


def _place(desktop: Desktop, point: Mapping[str, Any]) -> tuple[int, int]:
    width, height = desktop.screen.size
    x, y = point["x"], point["y"]
    if not (0 <= x < width and 0 <= y < height):
        raise BadAction("The place (%d, %d) is not on the screen, which is %d x %d." % (x, y, width, height))
    return x, y
