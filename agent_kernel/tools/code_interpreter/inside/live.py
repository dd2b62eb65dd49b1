"""Sends what a cell prints while it runs. A host that does not read makes no cell wait: it gets less."""

from __future__ import annotations

import json
import select
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedWriter

PAUSE = 0.05
"""Seconds that text is gathered for."""

MOST = 200_000
"""Characters of one cell. What comes later is in its record only."""

_PIECE = (select.PIPE_BUF - 300) // 12
"""Characters of a line: a pipe that can be written to takes as many at once, whatever they are."""


class Live:
    """Writes lines `{"id", "live"}` to the answers, never while an answer is written."""

    def __init__(self, answers: BufferedWriter) -> None:
        self._answers = answers
        self._change = threading.Condition()
        self._key = ""
        self._waiting = ""
        self._room = 0
        self._thread: threading.Thread | None = None

    def begin(self, key: str) -> Callable[[str], None]:
        """Begin a cell. Return the function that takes its texts."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, name="agent-kernel live", daemon=True)
            self._thread.start()
        with self._change:
            self._key, self._waiting, self._room = key, "", MOST
        return self._add

    def _add(self, text: str) -> None:
        with self._change:
            text = text[: self._room]
            self._room -= len(text)
            self._waiting += text
            if text:
                self._change.notify()

    def end(self) -> None:
        """End the cell: its answer has all that was not sent."""
        with self._change:
            self._waiting, self._room = "", 0

    def _send(self) -> None:
        while True:
            with self._change:
                while not self._waiting:
                    self._change.wait()
            time.sleep(PAUSE)
            select.select([], [self._answers], [])
            with self._change:
                self._write()

    def _write(self) -> None:
        """Write as much as the pipe takes at once."""
        while self._waiting and select.select([], [self._answers], [], 0)[1]:
            piece, self._waiting = self._waiting[:_PIECE], self._waiting[_PIECE:]
            self._answers.write(json.dumps({"id": self._key, "live": piece}).encode("ascii") + b"\n")
            self._answers.flush()
