"""TLS on the sandbox's end of a connection: we are the server that the program meant."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from agent_kernel.egress.relay import InsideStream

_PIECE = 64 << 10
_RECORD = 16 << 10
_LAST_SECONDS = 2.0


class HandshakeFailed(Exception):
    """The program inside ended the handshake; the argument says why, as a phrase."""


class SecureStream:
    """Carries plain bytes over TLS on `stream`. `first` is what the program has sent already.

    One task may read while others write.
    """

    def __init__(self, stream: InsideStream, context: ssl.SSLContext, first: bytes) -> None:
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(first)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._sending = asyncio.Lock()
        self._ended = False

    async def handshake(self) -> None:
        """Agree with the program. Raises `HandshakeFailed`."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise HandshakeFailed(_UNTRUSTED) from None
            except ssl.SSLError as error:
                await self._flush()
                raise HandshakeFailed(_why(error)) from None
            else:
                await self._flush()
                return

    @property
    def protocol(self) -> str | None:
        """The protocol that both ends have agreed on (ALPN)."""
        return self._tls.selected_alpn_protocol()

    async def read(self, limit: int) -> bytes:
        """Return up to `limit` bytes, `b""` at the end. Raises `HandshakeFailed` for a TLS alert."""
        got = bytearray()
        while len(got) < limit:
            try:
                piece = self._tls.read(limit - len(got))
            except ssl.SSLWantReadError:
                await self._flush()
                if got or not await self._fill():
                    break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break
            except ssl.SSLError as error:
                raise HandshakeFailed(_why(error)) from None
            else:
                if not piece:
                    break
                got += piece
        return bytes(got)

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the program does not read."""
        view = memoryview(data)
        while view:  # all at once would be held here, encrypted, until a slow program has read it
            view = view[self._tls.write(view[:_RECORD]) :]
            await self._flush()

    async def finish(self) -> None:
        """Say that no more data comes, and read and drop what does, for two seconds at most.

        Closing a socket with unread data would discard what the program has not read yet.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                await self._flush()
                await self._stream.write_eof()
                while await self._stream.read(_PIECE):
                    pass

    async def _flush(self) -> None:
        async with self._sending:
            if data := self._outgoing.read():
                await self._stream.write(data)

    async def _fill(self) -> bool:
        data = b"" if self._ended else await self._stream.read(_PIECE)
        if not data:
            self._ended = True
            return False
        self._incoming.write(data)
        return True


_UNTRUSTED = "the program ended the TLS handshake: it may not trust the certificate authority of this sandbox"


def _why(error: ssl.SSLError) -> str:
    reason = (error.reason or "").upper()
    if "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason or "CERTIFICATE_UNKNOWN" in reason:
        return "the program does not trust the certificate authority of this sandbox"
    return "its TLS handshake failed"
