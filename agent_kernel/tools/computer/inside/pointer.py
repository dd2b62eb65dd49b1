"""The mouse: moves, buttons, drags and the wheel."""

from __future__ import annotations

import math
import struct
import time

from agent_kernel.tools.computer.inside import x11

BUTTONS = {"left": 1, "wheel": 2, "middle": 2, "right": 3, "back": 8, "forward": 9}
NOTCH = 120
"""Pixels by which one notch of the wheel scrolls a page in Chromium."""

_PRESS, _RELEASE, _MOTION = 4, 5, 6
_STEP = 12
"""Pixels between the points of a drag; programs begin one only after they have seen some motion."""
_MOST_STEPS = 60
_BETWEEN = 0.03
"""Seconds that a place or a click stands alone."""
_PACE = 0.004
"""Seconds between those points, so that programs that follow the mouse see them one by one."""


class Pointer:
    """The pointer of a display."""

    def __init__(self, connection: x11.Connection) -> None:
        self._x = connection
        self._fake = connection.extension("XTEST")[0]
        self._held: list[int] = []

    def move(self, x: int, y: int) -> None:
        """Move to a place in pixels from the screen's upper left corner."""
        self._event(_MOTION, 0, x, y)
        self._x.sync()

    def click(self, button: int, times: int = 1) -> None:
        """Press and release a button, `times` times in a row."""
        for n in range(times):
            if n:
                time.sleep(_BETWEEN)  # Chromium takes two clicks at the same time for one
            self._event(_PRESS, button)
            self._event(_RELEASE, button)
            self._x.sync()

    def drag(self, path: list[tuple[int, int]]) -> None:
        """Press the left button at the first point, move along the others, and release it at the last."""
        self.move(*path[0])
        self._event(_PRESS, 1)
        self._x.sync()
        for start, end in zip(path[:-1], path[1:]):
            steps = min(_MOST_STEPS, max(1, math.ceil(math.dist(start, end) / _STEP)))
            for n in range(1, steps + 1):
                time.sleep(_PACE)
                self.move(*(round(a + (b - a) * n / steps) for a, b in zip(start, end)))
            time.sleep(_BETWEEN)  # a frame or two, so that a program that looks once a frame sees the point
        self.release()

    def press(self, button: int = 1) -> None:
        """Press a button until `let_go` or `release`."""
        if button not in self._held:
            self._event(_PRESS, button)
            self._x.sync()

    def let_go(self, button: int) -> None:
        """Release a button that may be held."""
        if button in self._held:
            self._event(_RELEASE, button)
            self._x.sync()

    def scroll(self, right: int, down: int) -> None:
        """Turn the wheel by pixels, to the nearest notch but at least one; negative is left and up."""
        for amount, less, more in ((down, 4, 5), (right, 6, 7)):
            notches = max(1, round(abs(amount) / NOTCH)) if amount else 0
            for _ in range(notches):
                self._event(_PRESS, more if amount > 0 else less)
                self._event(_RELEASE, more if amount > 0 else less)
        self._x.sync()

    def place(self) -> tuple[int, int]:
        """Return where the pointer is."""
        x, y = struct.unpack_from("<hh", self._x.ask(38, 0, struct.pack("<I", self._x.root)), 16)
        return int(x), int(y)

    def release(self) -> None:
        """Release all buttons that are held."""
        while self._held:
            self._event(_RELEASE, self._held[-1])
        self._x.sync()

    def _event(self, kind: int, button: int, x: int = 0, y: int = 0) -> None:
        root = self._x.root if kind == _MOTION else 0
        self._x.request(self._fake, 2, struct.pack("<BBxxII8xhh8x", kind, button, 0, root, x, y))
        if kind == _PRESS:
            self._held.append(button)
        elif kind == _RELEASE:
            self._held.remove(button)
