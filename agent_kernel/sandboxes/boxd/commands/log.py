"""What a command has printed, bounded: the newest bytes are kept, offsets count from the first one."""

from __future__ import annotations

import collections

LIMIT = 1 << 20
PIECE_COST = 64
"""What a piece costs beside its bytes: many tiny pieces are bounded too."""


class Log:
    """A ring of `(stream, bytes)` pieces with offsets, so that a watcher can begin anywhere in it."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._pieces: collections.deque[tuple[int, int, bytes]] = collections.deque()
        self._limit = limit
        self._cost = 0
        self.start = 0
        self.end = 0

    def append(self, stream: int, payload: bytes) -> None:
        """Add a piece; pieces that no longer fit the limit fall out at the front."""
        self._pieces.append((self.end, stream, payload))
        self.end += len(payload)
        self._cost += len(payload) + PIECE_COST
        while self._cost > self._limit and len(self._pieces) > 1:
            _, _, dropped = self._pieces.popleft()
            self.start += len(dropped)
            self._cost -= len(dropped) + PIECE_COST

    def pieces(self) -> list[bytes]:
        """All that is kept, in order."""
        return [payload for _, _, payload in self._pieces]

    def tail(self, limit: int) -> bytes:
        """The last bytes of both streams, about `limit` of them."""
        found: list[bytes] = []
        for _, _, payload in reversed(self._pieces):
            if limit <= 0:
                break
            found.append(payload[-limit:])
            limit -= len(payload)
        return b"".join(reversed(found))

    def read(self, offset: int, limit: int) -> tuple[int, bytes] | None:
        """The bytes at `offset`, at most `limit` of them and of one stream: `(stream, bytes)` or None."""
        for position, stream, payload in reversed(self._pieces):  # a watcher is mostly near the end
            if position <= offset:
                first = offset - position
                return (stream, payload[first : first + limit]) if first < len(payload) else None
        return None

    def backlog(self, offset: int) -> int:
        """What a watcher at `offset` has still to be told, in the units of the limit."""
        cost = 0
        for position, _, payload in reversed(self._pieces):
            if position + len(payload) <= offset:
                break
            cost += len(payload) + PIECE_COST
        return cost
