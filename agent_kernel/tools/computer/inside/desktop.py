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
        self._shot: tuple[bytes, bool, bytes] | None = None
        while drawn and self.screen.is_blank() and self.screen.changed(until):
            pass
        self.screen.rest(_STEADY, _BEGINS)

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
        if self._shot is None or self._shot[:2] != (pixels, half):
            size = (*self.screen.size, pixels)
            file = picture.png(*picture.halved(*size)) if half else picture.small(*size)
            self._shot = pixels, half, base64.b64encode(file)
        return self._shot[2]
