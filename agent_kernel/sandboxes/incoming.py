"""The calls that boxd makes to the host: bounded in number, each served by a task."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from agent_kernel.errors import ConnectDenied, SandboxError
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.egress import EgressStream
from agent_kernel.sandboxes.near.descriptors import Descriptors
from agent_kernel.sandboxes.near.eager import begin
from agent_kernel.sandboxes.near.program_socket import MOST_REPLY, ProgramSocket, take_over

log = logging.getLogger(__name__)

_SOON, _TOGETHER = 0.005, 32
"""Seconds that an answer waits for others, and how many go together at most.

Nobody waits for the answer to a connection that has ended on both sides, and each message wakes boxd.
"""

_SHORT, _REMEMBERED = 512, 64
"""Bytes of a call that is remembered, and how many are."""

_USUAL = {"accepted": True, "ended": True}
_ENCODED = json.dumps(_USUAL).encode()

Method = Callable[[dict[str, Any], EgressStream], Awaitable[None]]
"""A handler for a channel that boxd opened: `(arguments, stream)`."""


class IncomingCalls:
    """Serves `methods` to one boxd. Its calls may bring `descriptors` (None: none).

    `send` sends a frame; `put` sends one without a wait, or returns False.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        send: Callable[[wire.Bytes], Awaitable[None]],
        descriptors: Descriptors | None,
        put: Callable[[bytes], bool],
    ) -> None:
        self.methods = methods
        self._send = send
        self._put = put
        self._descriptors = descriptors
        self._served: dict[int, EgressStream] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._requests: dict[bytes, dict[str, Any]] = {}
        self._answers: list[bytes] = []
        self._flush_at: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._last_served = 0
        self._closing = False

    @property
    def any(self) -> bool:
        """Whether a call is open."""
        return bool(self._served)

    def open(self, number: int, payload: bytes) -> None:
        """Begin to serve a call. Raises `WireError` if boxd may not open this channel."""
        if number % 2 or number <= self._last_served:
            raise wire.WireError(f"channel {number} is in use, or not the sandbox's to open")
        if self._unanswered >= wire.MAX_OPENED or len(self._served) >= 2 * wire.MAX_OPENED:  # unread answers
            raise wire.WireError(f"more than {wire.MAX_OPENED} channels open")
        if len(payload) > wire.MAX_CALL:
            raise wire.WireError(f"a call of {len(payload)} bytes")
        request = self._request(payload)
        method = request.get("method")
        if not isinstance(method, str) or method not in self.methods:
            raise wire.WireError("a call to a method that the host does not serve")
        self._last_served = number
        if request.get("passed") is True:
            stream, serve = self._passed(number, request, self.methods[method])
        else:
            stream, serve = EgressStream(number, self._send), self.methods[method]
        if isinstance(stream, ProgramSocket):
            stream.left = partial(self._give_up, number)
        self._unanswered += 1
        self._served[number] = stream
        task = begin(self._serve(stream, serve, request))
        if number in self._served:
            self._tasks[number] = task

    def _request(self, payload: bytes) -> dict[str, Any]:
        """Decode a call. Programs connect to the same again and again. Raises `WireError`."""
        request = self._requests.get(payload)
        if request is None:
            request = wire.parse_json(payload)
            if len(payload) <= _SHORT:
                if len(self._requests) >= _REMEMBERED:
                    self._requests.clear()
                self._requests[payload] = request
        return request

    def _passed(self, number: int, request: dict[str, Any], method: Method) -> tuple[EgressStream, Method]:
        """Return the stream of a connection whose socket came with the call, and what serves it."""
        if self._descriptors is None:
            raise wire.WireError("a descriptor that the host does not take")
        descriptor, reply = self._descriptors.take(), request.get("reply", "")
        if descriptor is None:
            return EgressStream(number, self._send), _no_descriptors
        close = self._descriptors.close
        try:
            if not (isinstance(reply, str) and len(reply) <= MOST_REPLY and reply.isascii()):
                raise wire.WireError("a reply that no program gets")
            connected = take_over(descriptor)
        except wire.WireError:
            close(descriptor)
            raise
        return ProgramSocket(number, connected, reply.encode("ascii"), close), method

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """Take a frame on a channel of boxd's. Raises `WireError` if it does not belong there."""
        if number > self._last_served:
            raise wire.WireError(f"a frame on channel {number}, which was not opened")
        if number not in self._served:
            return  # boxd has not yet seen the answer
        stream = self._served[number]
        if stream.answered:
            return
        if kind == wire.CANCEL:
            self._give_up(number)
        else:
            stream.receive(kind, payload)

    def _give_up(self, number: int) -> None:
        asyncio.get_running_loop().call_soon(self._stop, number)  # its task may be about to end by itself

    def _stop(self, number: int) -> None:
        stream = self._served.get(number)
        if stream is not None and not stream.answered:
            stream.cancelled = True
            self._tasks[number].cancel()

    async def _serve(self, stream: EgressStream, method: Method, request: dict[str, Any]) -> None:
        try:
            await self._answer(stream, method, request)
        finally:
            if not stream.answered:
                self._unanswered -= 1
            del self._served[stream.number]
            self._tasks.pop(stream.number, None)  # it is not there yet if nothing had to be waited for

    async def _answer(self, stream: EgressStream, method: Method, request: dict[str, Any]) -> None:
        answer: dict[str, str] | None = None
        try:
            await method(request, stream)
        except asyncio.CancelledError:
            if self._closing or not stream.cancelled:
                raise
            answer = {"code": "cancelled", "message": "cancelled"}
        except ConnectDenied as error:
            answer = {"code": "denied", "message": error.message}
        except (OSError, SandboxError) as error:
            answer = {
                "code": "failed",
                "message": getattr(error, "strerror", None) or "the connection failed",
            }
        except Exception:
            log.exception("A connection out of a sandbox failed.")
            answer = {"code": "failed", "message": "the host could not make the connection"}
        finally:
            known = stream.let_go()
        stream.answered = True
        self._unanswered -= 1
        kind = wire.RESULT if answer is None else wire.ERROR
        if answer is None and known == _USUAL:
            self._answers.append(wire.frame(kind, stream.number, _ENCODED))
        else:
            self._answers.append(wire.message(kind, stream.number, {**known, **(answer or {})}))
        if kind == wire.RESULT and known.get("ended") and len(self._answers) < _TOGETHER:
            if self._flush_at is None:
                self._flush_at = asyncio.get_running_loop().call_later(_SOON, self._flush_soon)
        else:
            await self._flush()

    def _flush_soon(self) -> None:
        """Send the answers that wait, without a task if boxd reads them."""
        self._flush_at = None
        if self._answers and self._put(b"".join(self._answers)):
            self._answers.clear()
        else:
            begin(self._flush())

    async def _flush(self) -> None:
        """Send the answers that wait."""
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        answers, self._answers = self._answers, []
        try:
            if answers:
                await self._send(b"".join(answers))
        except SandboxError:
            return  # this connection has ended, which is reported elsewhere

    def cancel(self) -> None:
        """Cancel every call; boxd gets no answers any more. Idempotent."""
        self._closing = True
        if self._flush_at is not None:
            self._flush_at.cancel()
        for task in self._tasks.values():
            task.cancel()

    async def aclose(self) -> None:
        """Cancel every call and wait for its end."""
        self.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def _no_descriptors(request: dict[str, Any], stream: EgressStream) -> None:
    raise OSError(None, "this server could not take the connection")
