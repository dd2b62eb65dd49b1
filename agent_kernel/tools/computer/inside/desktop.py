"""The desktop of a container: its programs, and what acts on its screen."""

from __future__ import annotations

import base64
import time

from agent_kernel.tools.computer.inside import keyboard, picture, pointer, programs, screen, windows, x11

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BEGINS = 45.0
"""Seconds that the browser may take to draw its first window."""
_STEADY = 0.5
_SHOWS, _TYPED = 1.0, 0.15
"""Seconds that programs may take to show what was typed, and for which they show nothing new then."""


class Desktop:
    """A running desktop. `settings` are its width, height, scale and locale."""

    def __init__(self, settings: dict[str, Any], wake: int, wish: int = -1) -> None:
        """Start it. Raises `NoDesktop`, `x11.ServerGone`, `x11.ServerError`."""
        self.settings = settings
        self.programs = programs.DesktopPrograms(settings)
        self.connection = x11.Connection(self.programs.display, wake, wish)
        self.programs.start_all()
        until = time.monotonic() + _BEGINS
        drawn = self.programs.has_browser and windows.wait_for_first(self.connection, until)
        self.screen = screen.DesktopScreen(self.connection)  # from here on it gets the events
        self.keyboard = keyboard.Keyboard(self.connection, self._typed)
        self.pointer = pointer.Pointer(self.connection)
        width, height = self.screen.size
        self._whole = picture.Pictures(width, height)
        self._half = picture.Pictures((width + 1) // 2, (height + 1) // 2)
        while drawn and self.screen.is_blank() and self.screen.changed(until):
            pass
        self.screen.rest(_STEADY, _BEGINS)

    def restarted(self) -> list[str]:
        """Start again what has crashed, and wait until it shows. Return a sentence about each, for the model.

        Raises `x11.ServerGone` if the X server has ended.
        """
        before = self.programs.browser
        said = self.programs.restarted()
        browser = self.programs.browser
        if browser is not None and browser != before:
            until = time.monotonic() + _BEGINS
            while not windows.has_window(self.connection, browser) and self.screen.changed(until):
                pass
        if said:
            self.screen.rest(_STEADY, _BEGINS)
        return said

    def _typed(self) -> None:
        if self.screen.changed(time.monotonic() + _SHOWS):
            self.screen.rest(_TYPED, _SHOWS)

    def release(self) -> None:
        """Release every key and button that an action has left pressed."""
        self.keyboard.release()
        self.pointer.release()

    def shot(self, *, half: bool) -> bytes:
        """Return the screen as a PNG file in base64: for a model, or `half` its size."""
        pixels = self.screen.pixels()
        if half:
            return base64.b64encode(self._half.png(picture.halved(*self.screen.size, pixels)))
        return base64.b64encode(self._whole.small(pixels))
