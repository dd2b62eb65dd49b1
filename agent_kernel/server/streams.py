"""Streaming answers. They last as long as their turn and end it when the client disconnects."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
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

MOST_WAITING = 32
"""Chunks that may wait to be sent before `put` waits."""

COMMENT = b": keep-alive\n\n"


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
    """A turn as server-sent events.

    Headers are sent with the first event, so an error raised before it becomes an ordinary error answer.
    Events that are ready at the same time go out in one chunk; an event is never in two.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[ResponseStreamEvent, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the turn ends, or the client disconnects, which cancels the turn."""
        await _streamed(scope, receive, self._stream(send))

    async def _stream(self, send: Send) -> None:
        sender: Sender | None = None
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    if sender is None:
                        await self._start(send)
                        sender = Sender(send)
                    await sender.put(encode(event))
            if sender is None:
                await self._start(send)
            else:
                await sender.flush()
        finally:
            if sender is not None:
                await sender.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


class Sender:
    """Sends chunks from a task of its own, and a comment after a silence.

    The task runs when the writer waits. So a burst of chunks is sent as one, which spares a pass through the
    server for each, and a single chunk is sent at once. Close it, or its task stays.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[bytes] = []
        self._is_sending = False
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Future[None] | None = None
        self._progress: asyncio.Future[None] | None = None
        self._sent_at = time.monotonic()
        self._timer = self._loop.call_later(KEEP_ALIVE, self._look)
        self._task = asyncio.create_task(self._run())

    async def put(self, chunk: bytes) -> None:
        """Send a chunk soon; wait while too many wait. Raises what the server's `send` has raised."""
        self._waiting.append(chunk)
        _wake(self._news)
        while len(self._waiting) >= MOST_WAITING:
            await self._step()

    async def flush(self) -> None:
        """Return when all is sent. Raises what the server's `send` has raised."""
        while self._waiting or self._is_sending:
            await self._step()

    async def aclose(self) -> None:
        """End the task. What still waits is dropped."""
        self._timer.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _step(self) -> None:
        if self._task.done():
            self._task.result()
        self._progress = self._loop.create_future()
        await self._progress

    async def _run(self) -> None:
        try:
            while True:
                while not self._waiting:
                    self._news = self._loop.create_future()
                    await self._news
                chunk = b"".join(self._waiting)
                self._waiting.clear()
                _wake(self._progress)
                self._is_sending, self._sent_at = True, time.monotonic()
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._is_sending = False
                _wake(self._progress)
        finally:
            _wake(self._progress)

    def _look(self) -> None:
        """Send a comment if nothing was sent for long, and look again when that may be so."""
        silence = time.monotonic() - self._sent_at
        if silence >= KEEP_ALIVE:
            silence = 0.0
            if not self._waiting:
                self._waiting.append(COMMENT)
                _wake(self._news)
        self._timer = self._loop.call_later(KEEP_ALIVE - silence, self._look)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


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
