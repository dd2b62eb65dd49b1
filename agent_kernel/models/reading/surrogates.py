"""Characters beyond the basic plane whose two halves come in two deltas."""

from __future__ import annotations

from collections.abc import Hashable


class Halves:
    """Joins the halves, by stream of text. A half without its other half becomes U+FFFD."""

    def __init__(self) -> None:
        self._held: dict[Hashable, str] = {}

    def joined(self, stream: Hashable, text: str) -> str:
        """Return the text with what was held back before; hold back a first half at its end."""
        if text.isascii() and stream not in self._held:
            return text
        text = self._held.pop(stream, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[stream] = text[-1]
            text = text[:-1]
        if not any("\ud800" <= each <= "\udfff" for each in text):
            return text
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def rest(self, stream: Hashable) -> str:
        """Return what stands for a half that is still held back, at the end of a stream."""
        return "\ufffd" if self._held.pop(stream, "") else ""
