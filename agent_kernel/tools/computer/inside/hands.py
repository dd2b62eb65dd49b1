"""Carries out what the user does with mouse and keyboard, event by event."""

from __future__ import annotations

from agent_kernel.tools.computer.inside import names, windows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from agent_kernel.tools.computer.inside.desktop import Desktop


def act(desktop: Desktop, event: Mapping[str, Any]) -> None:
    """Carry out one event; the host has checked its shape. Keys that have no name here do nothing."""
    kind = event["type"]
    if kind in ("move", "press", "release", "wheel"):
        _mouse(desktop, kind, event)
    elif kind == "text":
        desktop.keyboard.tap(event["text"])
    elif (keysym := names.keysym_named(event["key"])) is not None:
        (desktop.keyboard.down if kind == "down" else desktop.keyboard.up)(keysym)


def _mouse(desktop: Desktop, kind: str, event: Mapping[str, Any]) -> None:
    width, height = desktop.screen.size
    desktop.pointer.move(min(event["x"], width - 1), min(event["y"], height - 1))
    if kind == "press":
        windows.activate_under_pointer(desktop.connection)
        desktop.pointer.press(event["button"])
    elif kind == "release":
        desktop.pointer.let_go(event["button"])
    elif kind == "wheel":
        desktop.pointer.scroll(event["right"], event["down"])
