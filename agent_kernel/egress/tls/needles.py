"""Find byte strings in a stream that arrives in pieces, and replace them."""

from __future__ import annotations

import re
from collections.abc import Callable


class Needles:
    """Byte strings to find, each with its replacement. No replacement is found again."""

    def __init__(self) -> None:
        self._replacements: dict[bytes, bytes] = {}
        self._pattern: re.Pattern[bytes] | None = None
        self._first: frozenset[int] = frozenset()
        self.longest = 0

    def __len__(self) -> int:
        return len(self._replacements)

    def __repr__(self) -> str:
        return f"<{len(self)} needles>"  # they are secrets

    def __contains__(self, needle: bytes) -> bool:
        return needle in self._replacements

    def add(self, needle: bytes, replacement: bytes) -> None:
        """Add a byte string, which is not empty. One that is there keeps its replacement."""
        if needle in self._replacements:
            return
        self._replacements[needle] = replacement
        longest_first = sorted(self._replacements, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first)))
        self._first = frozenset(each[0] for each in longest_first)
        self.longest = len(longest_first[0])

    def replace(self, data: bytes) -> bytes:
        """Return `data` with each needle replaced."""
        if self._pattern is None:
            return data
        return self._pattern.sub(lambda found: self._replacements[found[0]], data)

    def found_in(self, data: bytes) -> bool:
        """Whether there is a needle in `data`."""
        return self._pattern is not None and self._pattern.search(data) is not None

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the part of `data` that is complete, and the end that may begin a needle."""
        at = 0
        if self._pattern is not None:
            for found in self._pattern.finditer(data):
                if self._may_go_on(data, found.start()):  # a longer needle may begin in the same place
                    return data[: found.start()], data[found.start() :]
                at = found.end()
        for start in range(max(at, len(data) - self.longest + 1), len(data)):
            if data[start] in self._first and self._may_go_on(data, start):
                return data[:start], data[start:]
        return data, b""

    def _may_go_on(self, data: bytes, start: int) -> bool:
        """Whether the end of `data` from `start` on is the beginning of a needle, and not all of it."""
        size = len(data) - start
        if size >= self.longest:
            return False
        end = data[start:]
        return any(len(needle) > size and needle.startswith(end) for needle in self._replacements)


class NeedleStream:
    """Takes bytes in pieces and returns what may be passed on, by `change`.

    At most the length of the longest needle is held back, and only while a needle may have begun.
    """

    def __init__(self, needles: Needles, change: Callable[[bytes], bytes]) -> None:
        self._needles = needles
        self._change = change
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes. Raises what `change` raises."""
        complete, self._held = self._needles.split(self._held + data)
        return self._change(complete) if complete else b""

    def end(self) -> bytes:
        """Return what was held back: no more bytes come."""
        held, self._held = self._held, b""
        return self._change(held) if held else b""
