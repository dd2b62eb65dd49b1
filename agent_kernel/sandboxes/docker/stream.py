"""A hijacked connection to a Docker Engine, as an asyncio byte stream.

docker-py hands out a hijacked socket only for blocking use, and without the bytes that its HTTP reader had
already taken in. Here the connection is asyncio's own, over the same transport that docker-py chose.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent_kernel.errors import ChannelBroken, EngineUnavailable, SandboxUnreachable

if TYPE_CHECKING:
    from docker import APIClient

    from agent_kernel.sandboxes.docker.exit_watcher import ContainerEnd

_BUFFER = 256 * 1024  # what is read ahead of a slow reader before the engine is held back
_SEND_BUFFER = 1 << 20  # the kernel gives less where it allows less; TCP finds its own
_AHEAD = 1 << 20  # written ahead of a busy engine: it is not to wait for us to wake up
_KNOCK_SECONDS = 10.0
_HEAD = 64 * 1024
_COMPLAINT = 4 * 1024  # of a program's stderr, the end is kept

_SILENCE = 0.5  # seconds after a container's end in which the rest of its output comes

_STDOUT, _STDERR = 1, 2


@dataclass(frozen=True)
class Address:
    """Where the engine listens: a Unix socket's path, or host and port with an optional TLS context."""

    path: str | None = None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, api: APIClient) -> Address:
        """The address docker-py uses. Raises `EngineUnavailable` for transports with no socket (ssh)."""
        adapter = api.get_adapter(api.base_url)
        if (path := getattr(adapter, "socket_path", None)) is not None:
            return cls(path=path)
        url = urlsplit(api.base_url)
        if url.scheme not in ("http", "https") or url.hostname is None:
            raise EngineUnavailable(
                "Sandboxes need an engine behind a Unix socket or TCP; this one is reached in another way.",
                hint="Forward the engine's socket (ssh -L) and set DOCKER_HOST to unix:// and its path.",
            )
        tls = _tls_context(api) if url.scheme == "https" else None
        return cls(host=url.hostname, port=url.port or (2376 if tls else 2375), tls=tls)

    def knock(self) -> None:
        """See whether anybody listens (blocking). Raises `OSError`."""
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
    """docker-py's TLS settings (kept as attributes of its requests session) as an ssl context."""
    verify, cert = api.verify, api.cert
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if isinstance(cert, tuple):
        context.load_cert_chain(*cert)
    return context


class RequestRefused(Exception):
    """The engine answered a hijack request with an HTTP error: its status and its sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.status = status
        self.message = message


async def hijack(address: Address, path: str, body: dict[str, Any] | None = None) -> DockerStream:
    """POST to `path` and take over the connection.

    Raises `OSError` when nobody answers and `RequestRefused`; on these and on cancellation it is closed.
    """
    reader, writer = await address.connect()
    try:
        payload = json.dumps(body or {}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        writer.write(head.encode("ascii") + payload)
        await writer.drain()
        await expect(reader, 101, 200)
        if address.path is not None:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        writer.transport.set_write_buffer_limits(high=_AHEAD)
    except BaseException:
        writer.close()
        raise
    return DockerStream(reader, writer)


async def expect(reader: asyncio.StreamReader, *statuses: int) -> None:
    """Read the head of the engine's answer. Raises `RequestRefused` for any other status, `OSError`."""
    status, length = await _response_head(reader)
    if status not in statuses:
        raise RequestRefused(status, _sentence(await reader.read(min(length, _HEAD))))


async def _response_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Status and content length of the engine's answer."""
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


class DockerStream:
    """The stdin and stdout of a program in a container, a `ByteStream`; its stderr is kept as `complaint`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.on_end: Callable[[], Awaitable[None]] | None = None
        """Awaited when the stream has ended: raises where that is not the end of the sandbox."""
        self.end: ContainerEnd | None = None
        """What tells of the container's end, closed together with the stream."""
        self.ends_with_complaint = False
        """Whether anything on stderr is the program's last word, though the engine keeps the stream open."""
        self._reader = reader
        self._writer = writer
        self._kind = _STDOUT
        self._left = 0
        self._complaint = b""
        self._reading = False
        self._pieces = 0
        self._unread = b""

    @property
    def complaint(self) -> str:
        """What the program wrote to stderr so far, at most its last 4 KiB."""
        return self._complaint.decode(errors="replace").strip()

    async def read(self, limit: int) -> bytes:
        """Read up to `limit` bytes of stdout, `b""` at the end.

        Raises `SandboxUnreachable` when the connection breaks, or when the program at the other end
        stopped with a complaint; `ChannelBroken` when the engine sends what is no frame.
        """
        self._reading = True
        try:
            if self._unread:
                data, self._unread = self._unread[:limit], self._unread[limit:]
                return data
            while True:
                self._pieces += 1
                if self._left == 0 and not await self._next_frame():
                    return await self._end()
                data = await self._reader.read(min(limit if self._kind == _STDOUT else _HEAD, self._left))
                self._left -= len(data)
                if not data:
                    return await self._end()
                if self._kind == _STDOUT:
                    return data
                self._complaint = (self._complaint + data)[-_COMPLAINT:]
                if self.ends_with_complaint:
                    return await self._end()
        except SandboxUnreachable:
            raise
        except OSError as error:
            raise SandboxUnreachable(f"The connection to the engine broke ({error}).") from error
        finally:
            self._reading = False

    @property
    def ended(self) -> bool:
        """Whether the connection is known to be over, with nothing left to read."""
        return self._writer.is_closing() or (self._reader.at_eof() and not self._unread)

    def unread(self, data: bytes) -> None:
        """Give back what was read beyond one's own part: the next `read` begins with it."""
        self._unread = data + self._unread

    def follow(self, end: ContainerEnd) -> None:
        """Also end when `end` tells of the container's: some engines forget a stream of a killed runtime."""
        self.end = end
        end.then(lambda: self._end_when_silent(-1))

    def _end_when_silent(self, pieces: int) -> None:
        """Cut the connection once a reader has waited for nothing; a slow reader gets all there is."""
        if self._writer.is_closing():
            return
        if self._reading and pieces == self._pieces:
            self._writer.transport.abort()
        else:
            asyncio.get_running_loop().call_later(_SILENCE, self._end_when_silent, self._pieces)

    async def _end(self) -> bytes:
        if self.on_end is None:
            if self._complaint:
                raise SandboxUnreachable(f"The stream into the sandbox ended: {self.complaint}")
            return b""
        try:
            await self.on_end()
        except SandboxUnreachable as error:
            raise SandboxUnreachable(f"{error.message} {self.complaint}".strip()) from error
        return b""

    async def _next_frame(self) -> bool:
        """Read a frame's head: kind, three zeros, length in four bytes. False at the end."""
        try:
            head = await self._reader.readexactly(8)
        except asyncio.IncompleteReadError:
            return False
        if head[0] not in (_STDOUT, _STDERR) or head[1:4] != b"\0\0\0":
            raise ChannelBroken(f"The engine sent what is no stream frame: {head!r}.")
        self._kind = head[0]
        self._left = int.from_bytes(head[4:], "big")
        return True

    async def write(self, data: bytes) -> None:
        """Write all of `data` to stdin, waiting while the program does not read."""
        if self._writer.is_closing():
            raise SandboxUnreachable("The stream into the sandbox is closed.")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise SandboxUnreachable(f"The connection to the engine broke ({error}).") from error

    def write_ahead(self, data: bytes) -> None:
        """Begin to write, for a program that is not there yet; what goes wrong is seen by reading."""
        self._writer.write(data)

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        if self.end is not None:
            await self.end.aclose()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
