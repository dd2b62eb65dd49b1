"""TLS on the server's end of a connection: we are the client that the program meant to be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from agent_kernel.sandboxes.near.waiting import readable, writable

T = TypeVar("T")

_RECORD = 16 << 10


class ServerSocket:
    """Carries plain bytes over TLS on `connected`, a non-blocking socket that it takes over.

    It holds no more than the record that is read or written now; asyncio's TLS holds several hundred KiB. One
    task may read while another writes.
    """

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._tls = context.wrap_socket(connected, server_hostname=name, do_handshake_on_connect=False)
        self._ended = False

    async def handshake(self, seconds: float) -> None:
        """Agree with the server. Raises `ssl.SSLCertVerificationError`, and `OSError` for another failure."""
        try:
            async with asyncio.timeout(seconds):
                await self._do(self._tls.do_handshake)
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, TimeoutError):
            raise OSError(None, "the TLS handshake with the server failed") from None

    @property
    def protocol(self) -> str | None:
        """The protocol that the server chose (ALPN)."""
        return self._tls.selected_alpn_protocol()

    async def read(self, limit: int) -> bytes:
        """Return up to `limit` bytes, `b""` at the end. Raises `OSError`."""
        got = b"" if self._ended else await self._do(lambda: self._tls.recv(limit))
        if not got:
            self._end()
            return b""
        return self._with_more(got, limit)

    def _with_more(self, first: bytes, limit: int) -> bytes:
        """Add what is here already: a record has at most 16 KiB."""
        got = bytearray(first)
        while len(got) < limit:
            try:
                piece = self._tls.recv(limit - len(got))
            except OSError:  # nothing more now; a failure shows again
                break
            if not piece:
                break
            got += piece
        return bytes(got)

    def _end(self) -> None:
        """Answer the server's goodbye. Nothing is sent after it: the socket has no TLS any more."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(OSError):
                self._tls.unwrap()

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the server does not read.

        Raises `ConnectionError` when it takes no more; its answer may still be here.
        """
        view = memoryview(data)
        while view:
            view = view[await self._do(partial(self._send, view[:_RECORD])) :]

    def _send(self, piece: memoryview) -> int:
        if self._ended:
            raise ConnectionResetError(None, "the server has ended the connection")
        try:
            return self._tls.send(piece)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            raise ConnectionResetError(None, "the server has ended the connection") from None

    async def _do(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await readable(self._tls)
            except ssl.SSLWantWriteError:
                await writable(self._tls)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        with contextlib.suppress(OSError):
            self._tls.close()
