"""The screen: what it shows, and whether it changes."""

from __future__ import annotations

import struct
import time

from agent_kernel.tools.computer.inside import x11

_NON_EMPTY = 3
_IMAGE = 2
_COLOURS = 24


class DesktopScreen:
    """The screen of a display. Changes are told by the server, so a screen at rest costs nothing."""

    def __init__(self, connection: x11.Connection) -> None:
        self._x = connection
        self._damage, self._event = connection.extension("DAMAGE")
        self._id = connection.id_base
        connection.ask(self._damage, 0, struct.pack("<II", 1, 1))
        body = struct.pack("<IIBxxx", self._id, connection.root, _NON_EMPTY)
        connection.request(self._damage, 1, body)
        connection.sync()
        self._changed = time.monotonic()

    @property
    def size(self) -> tuple[int, int]:
        """The width and height in pixels."""
        return self._x.width, self._x.height

    def pixels(self) -> bytes:
        """Return the screen, row by row, in blue, green, red and an unused byte."""
        width, height = self.size
        area = struct.pack("<IhhHHI", self._x.root, 0, 0, width, height, 0xFFFFFFFF)
        return self._x.ask(73, _IMAGE, area)[32 : 32 + 4 * width * height]

    def is_blank(self) -> bool:
        """Return whether nothing but areas of few colours is drawn, as before a program has begun."""
        return len(set(memoryview(self.pixels()).cast("I"))) < _COLOURS

    def changed(self, until: float) -> bool:
        """Wait until something changes, at most until the time `until` (monotonic). Return whether it did."""
        while True:
            found = self._x.events(until)
            if any(each[0] & 0x7F == self._event for each in found):
                self._x.request(self._damage, 3, struct.pack("<III", self._id, 0, 0))
                self._x.flush()
                self._changed = time.monotonic()
                return True
            if self._x.woken or time.monotonic() >= until:
                return False

    def rest(self, quiet: float, longest: float) -> bool:
        """Wait until nothing has changed for `quiet` seconds. Return False if that took over `longest`."""
        since = time.monotonic()
        end = since + longest
        while self.changed(min(since + quiet, end)):
            since = self._changed
        return not self._x.woken and time.monotonic() >= since + quiet
