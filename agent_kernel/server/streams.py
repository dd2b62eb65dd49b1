"""Streaming answers. They last as long as their turn and end it when the client disconnects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from openai.types.responses import ResponseStreamEvent
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agent_kernel.protocol.sse import encode

log = logging.getLogger(__name__)

T = TypeVar("T")

KEEP_ALIVE = 15.0
"""Seconds of silence before a comment is sent, so that proxies do not drop the connection."""


async def while_connected(scope: Scope, receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Run `work`. If the client disconnects first, cancel it and raise `ClientDisconnect`.

    Read the request's body before calling this. Cancelling this cancels the work, and the work has always
    ended when this returns. It is registered in `state.running`, so that the server can end it on shutdown.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(receive))
    running: set[asyncio.Future[Any]] = scope["app"].state.running
    running.add(task)
    task.add_done_callback(running.discard)
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _streamed(scope: Scope, receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    try:
        await while_connected(scope, receive, work)
    except ClientDisconnect:
        log.info("Client disconnected: %s %s.", scope["method"], scope["path"])


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """A turn as server-sent events, one chunk per event.

    Headers are sent with the first event, so an error raised before it becomes an ordinary error answer.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[ResponseStreamEvent, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the turn ends, or the client disconnects, which cancels the turn."""
        await _streamed(scope, receive, self._stream(send))

    async def _stream(self, send: Send) -> None:
        alive: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    if alive is None:
                        await self._start(send)
                        alive = asyncio.create_task(self._keep_alive(send))
                    await self._send(send, encode(event))
            if alive is None:
                await self._start(send)
        finally:
            if alive is not None:
                alive.cancel()
                with suppress(asyncio.CancelledError):
                    await alive
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _send(self, send: Send, chunk: bytes) -> None:
        self._sent_at = time.monotonic()
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE - (time.monotonic() - self._sent_at))
            if time.monotonic() - self._sent_at >= KEEP_ALIVE:
                await self._send(send, b": keep-alive\n\n")


class FileStream(Response):
    """A file's bytes. A failure midway breaks the connection, so that a part never looks like the whole."""

    media_type = "application/octet-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the end, or until the client disconnects."""
        await _streamed(scope, receive, self._stream(send))

    async def _stream(self, send: Send) -> None:
        started = False
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                if not started:
                    await self._start(send)
                    started = True
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not started:
            await self._start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
