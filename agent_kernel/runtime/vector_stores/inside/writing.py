"""What the programs write to, and how they refuse."""

from __future__ import annotations

from typing import BinaryIO

LEFT_OUT = "[%d characters that a reader does not see were left out.]"


class Refused(Exception):
    """The text cannot be read. The message says whether the kind or the file is at fault."""


class Writer:
    """Writes text, up to a limit in bytes."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._left = stream, limit

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self._left -= len(data)
        if self._left < 0:
            raise Refused("invalid: its text is too long")
        self._stream.write(data)

    def left_out(self, hidden: int) -> None:
        """Say how many characters of hidden text are not written."""
        if hidden:
            self.write(LEFT_OUT % hidden + "\n\n")


def letters(text: str) -> int:
    """Return how many characters of a text are more than space."""
    return len("".join(text.split()))
