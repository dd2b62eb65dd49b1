"""Limit HTTP connections: their number, and how long a client may take to send a request.

Uvicorn's options limit the size of a request's head and the idle time after an answer. They have no time-out
for a connection that never sends a request, a head that never ends, or a body that goes on after its answer,
and uvicorn's own refusals are not the API's JSON errors. So this module subclasses two of uvicorn's protocol
classes. They are not a stable interface: pyproject.toml pins uvicorn's minor version, and
tests/server/http/test_uvicorn.py fails when something used here changes. `bodies` limits request bodies,
and the operating system resets connections whose client does not read (`serving.UNREAD`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from agent_kernel.server import bodies
from agent_kernel.server.auth import HEAD_LIMIT
from agent_kernel.server.errors import error_object, error_response

log = logging.getLogger(__name__)

HEAD = 20.0
"""Seconds from the connection, or from the first byte of a later request, to the end of the head."""

REST = 30.0
"""Seconds that a client may keep sending a body that was already answered."""

ALONE = 1 << 20
"""Bytes of an unfinished WebSocket message that are always allowed."""

TRY_AGAIN_LATER = 1013

_WORDS = {
    400: ("The request is not valid HTTP.", None),
    408: ("Timed out waiting for the request's headers.", None),
    431: (f"The request's path and headers are larger than {HEAD_LIMIT} bytes.", None),
}


class BoundedConnection(H11Protocol):
    """One connection. `limit_concurrency` is the number of connections that are served."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._most = self.limit_concurrency
        self.limit_concurrency = None  # uvicorn's refusal is plain text; `_full` answers in JSON
        self._deadline: asyncio.TimerHandle | None = None
        self._waits_for: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Accept the connection. Above the limit, answer with an error; above twice the limit, close it."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self.app = _full
            if len(self.connections) > 2 * self._most:
                transport.abort()
                return
        self._wait_for("head")

    def data_received(self, data: bytes) -> None:
        """Read, then set the deadline for what comes next."""
        super().data_received(data)
        if self.transport.is_closing():
            self._wait_for(None)
        elif self.conn.their_state is h11.IDLE:
            self._wait_for("head")
        else:
            self._wait_for("rest" if self._is_answered() else None)

    def on_response_complete(self) -> None:
        """Set a deadline for the rest of a body that was answered early. Uvicorn times idle connections."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait_for("rest" if self._is_answered() else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._wait_for(None)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Cancel the deadline: the WebSocket protocol takes over."""
        self._wait_for(None)
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP with the status that h11 suggests."""
        error = sys.exc_info()[1]
        self._refuse(error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400)

    def _is_answered(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)

    def _wait_for(self, what: str | None) -> None:
        """Set the deadline. A deadline for the same thing is kept, so sending slowly does not extend it."""
        if what == self._waits_for:
            return
        self._waits_for = what
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if what is not None:
            seconds = HEAD if what == "head" else REST
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        log.info("A client took too long to send its request; closing the connection.")
        if self._waits_for == "head" and self.conn.trailing_data[0]:
            self._refuse(408)
        else:
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        """Answer instead of the application, and close the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has started already
            self.transport.abort()
            return
        message, code = _WORDS.get(status, _WORDS[400])
        body = json.dumps(error_object(status, message, code=code)).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        response = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class BoundedSocket(WebSocketsSansIOProtocol):
    """One WebSocket connection. `held` is the size of its unfinished messages, in bytes."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn.debug = False  # else websockets logs each head, with the API key
        self.held = 0

    def data_received(self, data: bytes) -> None:
        """Read. Close the connection if its message is large and all unfinished ones exceed the limit."""
        super().data_received(data)
        self.held = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        if self.held > ALONE and not self.close_sent and self._together() > bodies.TOGETHER:
            self.held = 0
            self.conn.fail(TRY_AGAIN_LATER, "too many open messages")
            self.handle_parser_exception()

    def _together(self) -> int:
        return sum(each.held for each in self.connections if isinstance(each, BoundedSocket))

    async def send(self, message: Any) -> None:
        """Send. Mark a refused handshake as complete; uvicorn would log an error for it."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there are too many connections."""
    refusal = error_response(
        503,
        "The server has too many connections. Try again later.",
        code="too_many_connections",
        headers={"Connection": "close", "Retry-After": "1"},
    )
    await refusal(scope, receive, send)
