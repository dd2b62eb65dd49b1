"""The Docker Engine's address, and the head of its answers to raw requests."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent_kernel.errors import EngineUnavailable

if TYPE_CHECKING:
    from docker import APIClient

_BUFFER = 256 * 1024  # bytes read ahead of a slow reader before the engine is held back
_KNOCK_SECONDS = 10.0
_HEAD = 64 * 1024


@dataclass(frozen=True)
class Address:
    """A Unix socket's path, or host and port with an optional TLS context."""

    path: str | None = None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, api: APIClient) -> Address:
        """Take the address from docker-py. Raises `EngineUnavailable` for transports with no socket (ssh)."""
        adapter = api.get_adapter(api.base_url)
        if (path := getattr(adapter, "socket_path", None)) is not None:
            return cls(path=path)
        url = urlsplit(api.base_url)
        if url.scheme not in ("http", "https") or url.hostname is None:
            raise EngineUnavailable(
                "Sandboxes need an engine behind a Unix socket or TCP. This engine uses another transport.",
                hint="Forward the engine's socket (ssh -L) and set DOCKER_HOST to unix:// and its path.",
            )
        tls = _tls_context(api) if url.scheme == "https" else None
        return cls(host=url.hostname, port=url.port or (2376 if tls else 2375), tls=tls)

    def knock(self) -> None:
        """Check that something listens (blocking). Raises `OSError`."""
        if self.path is None:
            socket.create_connection((self.host, self.port), _KNOCK_SECONDS).close()
            return
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_KNOCK_SECONDS)
            connection.connect(self.path)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises `OSError`."""
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path, limit=_BUFFER)
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=_BUFFER)


def _tls_context(api: APIClient) -> ssl.SSLContext:
    """Turn docker-py's TLS settings (attributes of its requests session) into an ssl context."""
    verify, cert = api.verify, api.cert
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if isinstance(cert, tuple):
        context.load_cert_chain(*cert)
    return context


class RequestRefused(Exception):
    """The engine answered a raw request with an HTTP error: its status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.status = status
        self.message = message


async def expect(reader: asyncio.StreamReader, *statuses: int) -> None:
    """Read the head of the engine's answer. Raises `RequestRefused` for another status, and `OSError`."""
    status, length = await _response_head(reader)
    if status not in statuses:
        raise RequestRefused(status, _sentence(await reader.read(min(length, _HEAD))))


async def _response_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Read status and content length of the engine's answer."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *headers = head.split("\r\n")
        code = int(status.split(" ", 2)[1])
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
        raise ConnectionError("the engine's answer was not HTTP") from error
    fields = dict(line.lower().split(":", 1) for line in headers if ":" in line)
    return code, int(fields.get("content-length", _HEAD))


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip() or "no reason given"
