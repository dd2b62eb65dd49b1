"""The output of a command in memory. The newest bytes are kept; offsets count from the first byte."""

from __future__ import annotations

import collections

LIMIT = 1 << 20
PIECE_COST = 64
"""The cost of a piece in addition to its bytes, so that many tiny pieces are bounded too."""
JOINED = 4096
"""Successive pieces of one stream are joined up to this size, so that short lines cost little."""


class Log:
    """Keeps `(stream, bytes)` pieces with their offsets, so that a watcher can begin anywhere."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._pieces: collections.deque[tuple[int, int, bytes]] = collections.deque()
        self._limit = limit
        self._cost = 0
        self.start = 0
        self.end = 0

    def append(self, stream: int, payload: bytes) -> None:
        """Add a piece. The oldest pieces are dropped beyond the limit."""
        position, of, last = self._pieces[-1] if self._pieces else (0, -1, b"")
        if of == stream and len(last) + len(payload) <= JOINED:
            self._pieces[-1] = (position, stream, last + payload)
        else:
            self._pieces.append((self.end, stream, payload))
            self._cost += PIECE_COST
        self.end += len(payload)
        self._cost += len(payload)
        while self._cost > self._limit and len(self._pieces) > 1:
            _, _, dropped = self._pieces.popleft()
            self.start += len(dropped)
            self._cost -= len(dropped) + PIECE_COST

    def pieces(self) -> list[bytes]:
        """Return all kept pieces in order."""
        return [payload for _, _, payload in self._pieces]

    def tail(self, limit: int, stream: int | None = None) -> bytes:
        """Return about `limit` of the last bytes of one stream, or of both."""
        found: list[bytes] = []
        for _, of, payload in reversed(self._pieces):
            if limit <= 0:
                break
            if stream not in (None, of):
                continue
            found.append(payload[-limit:])
            limit -= len(payload)
        return b"".join(reversed(found))

    def read(self, offset: int, limit: int) -> tuple[int, bytes] | None:
        """Return `(stream, bytes)` at `offset`: at most `limit` bytes of one stream, or None."""
        for position, stream, payload in reversed(self._pieces):  # watchers are mostly near the end
            if position <= offset:
                first = offset - position
                return (stream, payload[first : first + limit]) if first < len(payload) else None
        return None

    def backlog(self, offset: int) -> int:
        """Return how much a watcher at `offset` has not yet read, in the units of the limit."""
        cost = 0
        for position, _, payload in reversed(self._pieces):
            unread = position + len(payload) - max(position, offset)
            if unread <= 0:
                break
            cost += unread + PIECE_COST
        return cost
