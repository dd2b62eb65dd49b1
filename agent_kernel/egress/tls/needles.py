"""Find byte strings in a stream that arrives in pieces, and replace them."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heapreplace
from itertools import chain

_FIRST = 16
"""Bytes of a needle by which its beginning is searched for. Patterns of whole ones take long to compile."""


class Needles:
    """Byte strings to find, each with its replacement. No replacement is found again.

    Of those that begin in one place, the longest counts.
    """

    def __init__(self) -> None:
        self._replacements: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []
        self._firsts: re.Pattern[bytes] | None = None
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
        insort(self._sorted, needle)
        self._firsts = None
        self.longest = max(self.longest, len(needle))

    def replace(self, data: bytes) -> bytes:
        """Return `data` with each needle replaced."""
        pieces, at = [], 0
        for start, needle in self._found(data):
            pieces += [data[at:start], self._replacements[needle]]
            at = start + len(needle)
        return b"".join((*pieces, data[at:])) if pieces else data

    def found_in(self, data: bytes) -> bool:
        """Whether there is a needle in `data`."""
        return next(self._found(data), None) is not None

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the part of `data` that is complete, and the end that may begin a needle."""
        if not self._sorted:
            return data, b""
        at = 0
        for start, needle in self._found(data):
            if self._may_go_on(data, start):  # a longer needle may begin in the same place
                return data[:start], data[start:]
            at = start + len(needle)
        for start in self._beginnings(data, max(at, len(data) - self.longest + 1)):
            if self._may_go_on(data, start):
                return data[:start], data[start:]
        return data, b""

    def _found(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Return the needles in `data`, each with its place."""
        ahead = [(data.find(needle), -len(needle), needle) for needle in self._sorted]
        ahead = [each for each in ahead if each[0] >= 0]
        heapify(ahead)
        at = 0
        while ahead:
            start, size, needle = ahead[0]
            if start >= at:
                yield start, needle
                at = start - size
            if (following := data.find(needle, at)) >= 0:
                heapreplace(ahead, (following, size, needle))
            else:
                heappop(ahead)

    def _beginnings(self, data: bytes, start: int) -> Iterator[int]:
        """Return the places from `start` on where a needle may begin."""
        last = max(start, len(data) - _FIRST + 1)
        return chain(self._first_bytes(data, start, last), range(last, len(data)))

    def _first_bytes(self, data: bytes, start: int, last: int) -> Iterator[int]:
        """Return the places from `start` to `last` where the first bytes of a needle are."""
        if self._firsts is None:
            firsts = {each[:_FIRST] for each in self._sorted}
            self._firsts = re.compile(b"|".join(map(re.escape, firsts)))
        while found := self._firsts.search(data, start):
            if (start := found.start()) >= last:
                return
            yield start
            start += 1

    def _may_go_on(self, data: bytes, start: int) -> bool:
        """Whether the end of `data` from `start` on is the beginning of a needle, and not all of it."""
        if len(data) - start >= self.longest:
            return False
        end = data[start:]
        place = bisect_left(self._sorted, end)
        if place < len(self._sorted) and self._sorted[place] == end:
            place += 1
        return place < len(self._sorted) and self._sorted[place].startswith(end)


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
