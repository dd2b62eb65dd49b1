"""Incoming request bodies: how long to wait for one, how much memory all may use, and their encodings."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from agent_kernel.errors import InvalidRequest, LimitReached, TooLarge, TooSlow, UnsupportedEncoding

PATIENCE = 30.0
"""Seconds that the server waits for a body in total ..."""

SLOWEST = 1000
"""... plus one second for each this many bytes received."""

TOGETHER = 256 << 20
"""Bytes of unfinished JSON bodies of one key, or of unfinished WebSocket messages of all clients."""

_BODY = "agent_kernel.body"

_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
PIECE = 1 << 20
"""Bytes that are decoded at a time."""


class Body:
    """Wraps `receive` with a time-out. Only time spent waiting for the client counts, not our own work."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        scope[_BODY] = self
        self._receive = receive
        self._left = PATIENCE
        self.whole = False

    async def __call__(self) -> Message:
        """Wait for the next message. Raises `TooSlow` when the client has used up its time."""
        if self.whole:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow("Timed out waiting for the request body.", hint="Send the request again.") from None
        self._left -= time.monotonic() - began - len(message.get("body", b"")) / SLOWEST
        self.whole = not message.get("more_body", False)
        return message


class Arriving:
    """Counts the unfinished JSON bodies of one key, so that many slow uploads cannot fill the memory."""

    def __init__(self) -> None:
        self._bytes = 0

    @contextmanager
    def body(self) -> Iterator[Callable[[int], None]]:
        """Yield a function to call with the size of each piece received; it raises `LimitReached`."""
        mine = 0

        def grow(size: int) -> None:
            nonlocal mine
            mine += size
            self._bytes += size
            if self._bytes > TOGETHER:
                raise LimitReached(
                    f"Too much is being uploaded with this key: at most {TOGETHER} bytes of JSON at a time.",
                    hint="Send it again when the other requests have arrived.",
                    code="bodies_limit_reached",
                    retry_after=1.0,
                )

        try:
            yield grow
        finally:
            self._bytes -= mine


def is_whole(scope: Scope) -> bool:
    """Return whether the request's body has been received completely."""
    body = scope.get(_BODY)
    return isinstance(body, Body) and body.whole


def encoding_of(request: Request) -> str:
    """Return the body's encoding, empty for none. Raises `UnsupportedEncoding` for more than one encoding."""
    given = request.headers.get("content-encoding", "").strip().lower()
    if given in ("", "identity"):
        return ""
    if given not in _WBITS:
        raise UnsupportedEncoding(
            f"The request body's Content-Encoding {given[:40]!r} is not supported.",
            hint="Send gzip, deflate, or no Content-Encoding.",
        )
    return given


async def decoded(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the decoded body.

    Raises `UnsupportedEncoding`, `InvalidRequest` for a damaged or cut body, and `TooLarge` once it has more
    than `limit` bytes decoded: no more memory is used than that.
    """
    encoding = encoding_of(request)
    if not encoding:
        async for chunk in request.stream():
            yield chunk
        return
    decoder, size = zlib.decompressobj(_WBITS[encoding]), 0
    async for chunk in request.stream():
        rest = chunk
        while rest and not decoder.eof:
            try:
                piece = decoder.decompress(rest, PIECE)
            except zlib.error as error:
                raise InvalidRequest(f"The request body is not valid {encoding}: {error}.") from None
            rest = decoder.unconsumed_tail
            size += len(piece)
            if size > limit:
                raise TooLarge(f"The request body is larger than {limit} bytes.")
            yield piece
    if not decoder.eof:
        raise InvalidRequest(f"The request body is not valid {encoding}: it is cut off.")
