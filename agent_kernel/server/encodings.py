"""Content encodings of request bodies: gzip and deflate are decoded within the limit, others are refused."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from agent_kernel.errors import InvalidRequest, TooLarge, UnsupportedEncoding

_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
PIECE = 1 << 20
"""Bytes that are decoded at a time."""


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
