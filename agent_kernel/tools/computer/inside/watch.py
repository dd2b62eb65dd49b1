"""The program that shows the desktop to one who watches: pieces of the screen as they change, and the news.

It reads a line for each request: `begin` with an id that all lines from here on carry, `seen` with the number
of the last frame that was shown, `look` to get the whole screen, `wish` to let the user act. It is at most
two frames ahead of what was seen, and sends nothing while the screen is at rest.
"""

from __future__ import annotations

import base64
import json
import os
import select
import sys
import time

from agent_kernel.tools.computer.inside import news, picture, screen, x11

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_BAND = 40
"""Rows that are compared at once."""
_MOST_ROWS = 240
"""Rows of one piece, so that no line gets too long."""
_APART = 0.08
"""Seconds between two frames."""
_AHEAD = 2
_INPUT = 0


def main() -> None:
    """Answer until the input ends."""
    watch = ScreenWatch()
    while watch.turn():
        pass


class ScreenWatch:
    """What one who watches has been shown."""

    def __init__(self) -> None:
        self._news = news.Watching()
        self._input = b""
        self._id: str | None = None
        self._sent = self._seen = 0
        self._shown: bytes | None = None
        self._changed = False
        self._next = 0.0
        self._wishes = False
        self._display: str | None = None
        self._x: x11.Connection | None = None
        self._screen: screen.DesktopScreen | None = None

    def turn(self) -> bool:
        """Wait for what comes next and handle it. Return False when the input has ended."""
        x = [] if self._x is None else [self._x.fileno()]
        wait = max(0.0, self._next - time.monotonic()) if self._may_send else None
        ready = select.select([_INPUT, self._news.socket.fileno(), *x], [], [], wait)[0]
        if _INPUT in ready and not self._requests():
            return False
        if self._news.socket.fileno() in ready:
            self._tell(self._news.news())
        try:
            if self._screen is not None and x and x[0] in ready:
                self._changed |= self._screen.changed(time.monotonic())
            if self._screen is not None and self._may_send and time.monotonic() >= self._next:
                self._frame(self._screen)
        except (x11.ServerGone, x11.ServerError):
            self._leave()
        return True

    @property
    def _may_send(self) -> bool:
        return self._changed and self._screen is not None and self._sent - self._seen < _AHEAD

    def _requests(self) -> bool:
        data = os.read(_INPUT, 1 << 16)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            self._request(json.loads(line))
        return bool(data)

    def _request(self, asked: dict[str, Any]) -> None:
        if "begin" in asked:
            self._id, self._sent, self._seen = asked["begin"], 0, 0
            self._shown, self._changed = None, True
            self._tell(self._news.known())
        elif "seen" in asked:
            self._seen = max(self._seen, min(asked["seen"], self._sent))
        elif "look" in asked:
            self._seen, self._shown, self._changed = self._sent, None, True
        elif "wish" in asked:
            self._wishes = asked["wish"]
            if self._wishes:
                self._news.wish()

    def _tell(self, state: dict[str, Any]) -> None:
        self._connect(state.get("display"))
        user = state.get("user") is True
        if self._wishes and not user:
            self._news.wish()  # an action has begun meanwhile
        running = self._screen is not None
        self._print({"running": running, "user": user and running, "action": state.get("action")})

    def _connect(self, display: Any) -> None:
        if not isinstance(display, str) or (display == self._display and self._x is not None):
            return
        try:
            self._x = x11.Connection(display)
            self._screen = screen.DesktopScreen(self._x)
        except (x11.ServerGone, x11.ServerError):
            self._x = self._screen = None
        self._display, self._shown, self._changed = display, None, True

    def _leave(self) -> None:
        if self._x is not None:
            self._x.close()
        self._x = self._screen = None
        self._print({"running": False, "user": False, "action": None})

    def _frame(self, shown: screen.DesktopScreen) -> None:
        """Send what has changed on the screen since the last frame."""
        width, height = shown.size
        pixels = shown.pixels()
        pieces = list(_changed(pixels, self._shown, 4 * width))
        self._shown, self._next = pixels, time.monotonic() + _APART
        self._changed = shown.changed(time.monotonic())
        self._sent += bool(pieces)
        for number, (top, bottom) in enumerate(pieces, 1):
            file = picture.png(width, bottom - top, pixels[4 * width * top : 4 * width * bottom])
            piece = {"top": top, "width": width, "height": height, "png": base64.b64encode(file).decode()}
            self._print({**piece, "frame": self._sent, "last": number == len(pieces)})

    def _print(self, line: dict[str, Any]) -> None:
        sys.stdout.buffer.write(json.dumps({"id": self._id, **line}).encode() + b"\n")
        sys.stdout.buffer.flush()


def _changed(pixels: bytes, shown: bytes | None, row: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row (exclusive) of each part that has changed."""
    height, begun = len(pixels) // row, -1
    for top in range(0, height, _BAND):
        here = slice(top * row, (top + _BAND) * row)
        same = shown is not None and pixels[here] == shown[here]
        if begun >= 0 and (same or top - begun >= _MOST_ROWS):
            yield begun, top
            begun = -1
        if begun < 0 and not same:
            begun = top
    if begun >= 0:
        yield begun, height
