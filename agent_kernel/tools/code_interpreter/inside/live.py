"""Sends the outputs of a cell while it runs. A host that does not read makes no cell wait: it gets less."""

from __future__ import annotations

import collections
import json
import os
import select
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedWriter
    from typing import Any

PAUSE = 0.05
"""Seconds that outputs are gathered for."""

MOST = 200_000
"""Characters of text of one cell. What comes later is in its record only."""

MOST_BYTES = 16 << 20
"""Bytes of the displays of one cell, again for each update."""

_ATOMIC = select.PIPE_BUF
"""Bytes that a pipe that can be written to takes at once."""


class Live:
    """Writes lines `{"id", "live"}` to the answers, never while an answer is written."""

    def __init__(self, answers: BufferedWriter) -> None:
        self._answers = answers
        self._lock = threading.RLock()
        """Entered itself: an interrupt in `Condition.__enter__` would keep it for ever."""
        self._change = threading.Condition(self._lock)
        self._key = ""
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()
        self._line = memoryview(b"")
        self._room = self._bytes = 0
        self._thread: threading.Thread | None = None

    def begin(self, key: str) -> Callable[[dict[str, Any]], None]:
        """Begin a cell. Return the function that takes its outputs, in the form of `record`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, name="agent-kernel live", daemon=True)
            self._thread.start()
        with self._lock:
            self._key, self._room, self._bytes = key, MOST, MOST_BYTES
            self._waiting.clear()
        return self._add

    def _add(self, output: dict[str, Any]) -> None:
        with self._lock:
            if output["output_type"] == "stream":
                text = output["text"][: self._room]
                self._room -= len(text)
                output = {**output, "text": text}
            else:
                self._bytes -= sum(map(len, output.get("data", {}).values()))
            if output.get("text") != "" and self._bytes > 0:
                self._waiting.append(output)
                self._change.notify()

    def end(self) -> None:
        """End the cell: its answer has all that is not taken at once. A line that was begun is sent."""
        with self._lock:
            self._write()
            self._waiting.clear()
            self._room = self._bytes = 0
            self._answers.write(self._line)
            self._answers.flush()
            self._line = memoryview(b"")

    def _send(self) -> None:
        while True:
            with self._lock:
                while not (self._waiting or self._line):
                    self._change.wait()
            time.sleep(PAUSE)
            with self._lock:
                self._write()

    def _write(self) -> None:
        """Write as much as is taken at once: an output may be larger than a pipe."""
        while (self._line or self._waiting) and select.select([], [self._answers], [], 0)[1]:
            if not self._line:
                value = {"id": self._key, "live": self._joined()}
                self._line = memoryview(json.dumps(value).encode("ascii") + b"\n")
            written = os.write(self._answers.fileno(), self._line[:_ATOMIC])
            self._line = self._line[written:]

    def _joined(self) -> dict[str, Any]:
        """Take the next output; text of one stream that waits behind it is joined to it."""
        first = self._waiting.popleft()
        texts = [first.get("text", "")]
        while self._waiting and first.get("name") and self._waiting[0].get("name") == first["name"]:
            texts.append(self._waiting.popleft()["text"])
        return {**first, "text": "".join(texts)} if "text" in first else first
