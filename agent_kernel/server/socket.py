"""The WebSocket on `/v1/responses`: turns run one after the other, and events are JSON messages.

A client sends flat messages: `{"type": "response.create", ...}` with the fields of the HTTP body, or
`{"type": "response.steer", "previous_response_id", "input"}`. A question of the running response is answered
by `{"type": "agent_kernel.answer", "response_id", "answer": {"approval_request_id", "approve", ...}}`. An
error that HTTP would answer with a status is one event of type `error` with that status here; a turn that
fails later ends with `response.failed`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing, suppress
from typing import Any

from openai import BaseModel
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agent_kernel.errors import AgentKernelError, InvalidRequest, Unauthorized
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.base import Session
from agent_kernel.runtime.network.base import AnswersQuestions
from agent_kernel.server.auth import caller_of
from agent_kernel.server.errors import INTERNAL, described, error_object
from agent_kernel.server.uploads import JSON_LIMIT, parse_json

log = logging.getLogger(__name__)

WAITING = 16
"""Requests that may queue behind the running one; together at most `JSON_LIMIT` bytes."""

POLICY_VIOLATION = 1008
"""The close code for a connection after its key was revoked."""

_TRANSPORT = ("type", "stream", "stream_options", "background", "stream_id")
"""Fields for the connection, not for the turn."""


class ResponsesSocket:
    """One connection."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._socket = WebSocket(scope, receive, send)
        self._running: set[asyncio.Future[Any]] = scope["app"].state.running
        self._caller = caller_of(scope)
        self._session: Session = self._caller.runtime.session()
        self._requests = asyncio.Queue[tuple[dict[str, Any], int]](WAITING)
        self._waiting = 0
        self._sending = asyncio.Lock()
        self._lane: str | None = None

    def __await__(self) -> Any:
        """Serve until the client disconnects, which ends its turn."""
        return self._serve().__await__()

    async def _serve(self) -> None:
        await self._socket.accept()
        worker = asyncio.create_task(self._work())
        self._running.add(worker)
        worker.add_done_callback(self._running.discard)
        worker.add_done_callback(lambda _: reader.cancel())
        reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait({reader})
        finally:
            for task in (reader, worker):
                task.cancel()
            await asyncio.gather(reader, worker, return_exceptions=True)
        with suppress(RuntimeError, WebSocketDisconnect):
            if self._socket.client_state is WebSocketState.CONNECTED:
                await self._socket.close(1001)

    async def _read(self) -> None:
        """Read messages, also while a turn is running."""
        with suppress(WebSocketDisconnect):
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text") or message.get("bytes") or b""
                try:
                    await self._caller.ask()
                    await self._take(parse_json(text), len(text))
                except Unauthorized as error:  # the key was revoked
                    await self._refuse(error)
                    await self._socket.close(POLICY_VIOLATION)
                    return
                except AgentKernelError as error:
                    await self._refuse(error)

    async def _take(self, message: dict[str, Any], size: int) -> None:
        match message.get("type"):
            case "response.create":
                if self._requests.full() or self._waiting + size > JSON_LIMIT:
                    raise InvalidRequest(
                        f"Too many requests are queued on this connection ({self._requests.qsize()}).",
                        hint="Send it again when one of them has ended.",
                        code="too_many_requests",
                    )
                self._waiting += size
                self._requests.put_nowait((message, size))
            case "response.steer":
                event = await self._session.steer(message.get("previous_response_id"), message.get("input"))
                await self._send(event)
            case "agent_kernel.answer":
                await self._answer(message)
            case other:
                raise InvalidRequest(
                    f"type must be 'response.create' or 'response.steer', not {shortened(other)}.",
                    param="type",
                )

    async def _answer(self, message: dict[str, Any]) -> None:
        """Answer a question of a running response. Raises `InvalidRequest`; an `error` event says so."""
        runtime, given = self._caller.runtime, message.get("answer")
        if not isinstance(runtime, AnswersQuestions) or not isinstance(given, dict):
            raise InvalidRequest(f"answer must be an object, not {shortened(given)}.", param="answer")
        await runtime.answer(str(message.get("response_id")), given)

    async def _work(self) -> None:
        """Run the queued turns, one after the other."""
        with suppress(WebSocketDisconnect):
            while True:
                message, size = await self._requests.get()
                self._waiting -= size
                lane = message.get("stream_id")
                self._lane = lane if isinstance(lane, str) else None
                request = {name: value for name, value in message.items() if name not in _TRANSPORT}
                await self._turn(request)
                self._lane = None

    async def _turn(self, request: dict[str, Any]) -> None:
        try:
            async with aclosing(self._session.respond(request)) as events:
                async for event in events:
                    if event.type != "error":  # `response.failed` follows and says the same
                        await self._send(event)
        except AgentKernelError as error:
            lost = self._session.lost(error)
            for event in lost:
                await self._send(event)
            if not lost:
                await self._refuse(error)
        except WebSocketDisconnect:
            raise
        except Exception:
            log.exception("A turn on a WebSocket failed.")
            await self._error(500, error_object(500, INTERNAL)["error"])

    async def _refuse(self, error: AgentKernelError) -> None:
        await self._error(*described(error))

    async def _error(self, status: int, error: dict[str, Any]) -> None:
        error = {**error, "code": error["code"] or error["type"]}  # on a socket an error always has a code
        await self._put({"type": "error", "sequence_number": 0, "status": status, "error": error})

    async def _send(self, event: BaseModel) -> None:
        await self._put(to_json(event))

    async def _put(self, event: dict[str, Any]) -> None:
        if self._lane is not None:
            event["stream_id"] = self._lane
        async with self._sending:
            await self._socket.send_text(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
