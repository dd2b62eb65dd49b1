"""HTTP connections within bounds: how many there are, and how long one may take to ask.

Uvicorn bounds the size of a request's head and how long a connection may idle after an answer. What it leaves
open is here: a connection that never asks, a head that never ends, a body that goes on after the answer, and
refusals in the API's own words. A body that is waited for is `bodies`' affair; a client that does not read is
the system's (`serving.UNREAD`).
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
"""Seconds from the first byte of a request, or from the connection, to the end of its head."""

REST = 30.0
"""Seconds in which a client may still send the rest of a body that was answered before its end."""

ALONE = 1 << 20
"""Bytes of a WebSocket message on its way that nobody minds."""

TRY_AGAIN_LATER = 1013

_WORDS = {
    400: ("This is not HTTP as it should be.", None),
    408: ("The head of the request did not come in time.", None),
    431: (f"The head of the request is larger than {HEAD_LIMIT} bytes.", None),
}


class BoundedConnection(H11Protocol):
    """One connection. The server's `limit_concurrency` is how many there may be."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._most = self.limit_concurrency
        self.limit_concurrency = None  # uvicorn's own refusal is not in the API's words
        self._deadline: asyncio.TimerHandle | None = None
        self._waits_for: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Take it in; one too many is told so, and very many too many are not."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > self._most:
            self.app = _full
            if len(self.connections) > 2 * self._most:
                transport.abort()
                return
        self._wait_for("head")

    def data_received(self, data: bytes) -> None:
        """Read on, and look how far the request is."""
        super().data_received(data)
        if self.transport.is_closing():
            self._wait_for(None)
        elif self.conn.their_state is h11.IDLE:
            self._wait_for("head")
        else:
            self._wait_for("rest" if self._is_answered() else None)

    def on_response_complete(self) -> None:
        """Wait for the rest of a body that was answered early; for the next request uvicorn waits."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait_for("rest" if self._is_answered() else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._wait_for(None)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """It is another protocol's from now on."""
        self._wait_for(None)
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, with the status that the parser suggests."""
        error = sys.exc_info()[1]
        self._refuse(error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400)

    def _is_answered(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)

    def _wait_for(self, what: str | None) -> None:
        """Set the deadline; one that runs for the same goes on, however much trickles in meanwhile."""
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
        log.info("A client took too long to send; its connection is closed.")
        if self._waits_for == "head" and self.conn.trailing_data[0]:
            self._refuse(408)
        else:
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        """Answer in the place of the application, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # in the middle of an answer
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
    """One WebSocket."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn.debug = False  # it would log each head, and there is the key
        self.held = 0

    def data_received(self, data: bytes) -> None:
        """Read on; a large message that comes is given up where all that come are too much together."""
        super().data_received(data)
        self.held = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        if self.held > ALONE and not self.close_sent and self._together() > bodies.TOGETHER:
            self.held = 0
            self.conn.fail(TRY_AGAIN_LATER, "too much is on its way")
            self.handle_parser_exception()

    def _together(self) -> int:
        return sum(each.held for each in self.connections if isinstance(each, BoundedSocket))

    async def send(self, message: Any) -> None:
        """Send; a handshake that was refused in words is complete, which uvicorn reports as an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that there are too many connections."""
    refusal = error_response(
        503,
        "There are too many connections to this server at this moment.",
        code="too_many_connections",
        headers={"Connection": "close", "Retry-After": "1"},
    )
    await refusal(scope, receive, send)
