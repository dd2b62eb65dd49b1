"""A client that costs next to nothing: it sends a request, and looks for words in what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

END = b"\r\n0\r\n\r\n"
"""How an answer in chunks ends."""


@dataclass(frozen=True)
class Answer:
    """When the words were there and when the answer had ended, in milliseconds from the request."""

    found: float
    ended: float


class Client:
    """One connection to a server, which stays open between the requests."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url.rstrip("/"))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: Mapping[str, Any], words: bytes) -> Answer:
        """Send a request and read its answer to the end. Raises `RuntimeError` if the words are not in it.

        A server may close an idle connection at the moment of the request, which then goes out again.
        """
        used = self._streams is not None
        try:
            return await self._ask(path, body, words)
        except ConnectionError:
            await self.aclose()
            if not used:
                raise
        return await self._ask(path, body, words)

    async def _ask(self, path: str, body: Mapping[str, Any], words: bytes) -> Answer:
        reader, writer = await self._connected()
        content = json.dumps(body).encode()
        head = (
            f"POST {self._url.path}/{path} HTTP/1.1\r\nHost: {self._url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        begun = time.perf_counter()
        writer.write(head.encode() + content)
        found, answer = None, bytearray()
        while not answer.endswith(END):
            looked = max(0, len(answer) - len(words))
            piece = await reader.read(1 << 18)
            if not piece and not answer:
                raise ConnectionResetError(f"{self._url.netloc} hung up")
            answer += piece
            if found is None and words in answer[looked:]:
                found = time.perf_counter()
            if not piece or not answer.startswith(b"HTTP/1.1 200"[: len(answer)]):
                break
        ended = time.perf_counter()
        if found is None or not answer.endswith(END):
            raise RuntimeError(f"{words.decode()!r} is not in the answer {bytes(answer[:300])!r}")
        return Answer((found - begun) * 1000, (ended - begun) * 1000)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the connection; a new one if the server has closed it, as servers do when it is idle."""
        if self._streams is not None and self._streams[0].at_eof():
            await self.aclose()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._url.hostname, self._url.port)
        return self._streams

    async def aclose(self) -> None:
        """Close the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(ConnectionError):  # the server may have closed it first
                await streams[1].wait_closed()
