"""The calls that boxd makes to the host: bounded in number, each served by a task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent_kernel.errors import ConnectDenied, SandboxError
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.egress import EgressStream
from agent_kernel.sandboxes.near.descriptors import Descriptors
from agent_kernel.sandboxes.near.program_socket import MOST_REPLY, ProgramSocket, take_over

log = logging.getLogger(__name__)

Method = Callable[[dict[str, Any], EgressStream], Awaitable[None]]
"""A handler for a channel that boxd opened: `(arguments, stream)`."""


class IncomingCalls:
    """Serves `methods` to one boxd. `send` sends a frame; its calls may bring `descriptors` (None: none)."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        send: Callable[[wire.Bytes], Awaitable[None]],
        descriptors: Descriptors | None,
    ) -> None:
        self.methods = methods
        self._send = send
        self._descriptors = descriptors
        self._served: dict[int, tuple[EgressStream, asyncio.Task[None]]] = {}
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
        open_now = sum(not stream.answered for stream, _ in self._served.values())
        if open_now >= wire.MAX_OPENED or len(self._served) >= 2 * wire.MAX_OPENED:  # unread answers
            raise wire.WireError(f"more than {wire.MAX_OPENED} channels open")
        if len(payload) > wire.MAX_CALL:
            raise wire.WireError(f"a call of {len(payload)} bytes")
        request = wire.parse_json(payload)
        method = request.get("method")
        if not isinstance(method, str) or method not in self.methods:
            raise wire.WireError("a call to a method that the host does not serve")
        self._last_served = number
        if request.get("passed") is True:
            stream, serve = self._passed(number, request, self.methods[method])
        else:
            stream, serve = EgressStream(number, self._send), self.methods[method]
        task = asyncio.create_task(self._serve(stream, serve, request))
        self._served[number] = stream, task
        task.add_done_callback(lambda _: self._ended(number))
        if isinstance(stream, ProgramSocket):
            stream.left = lambda: self._give_up(stream, task)

    def _ended(self, number: int) -> None:
        stream, _ = self._served.pop(number)
        stream.let_go()  # a task that was cancelled before it began has not done so

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
        return ProgramSocket(number, self._send, connected, reply.encode("ascii"), close), method

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """Take a frame on a channel of boxd's. Raises `WireError` if it does not belong there."""
        if number > self._last_served:
            raise wire.WireError(f"a frame on channel {number}, which was not opened")
        if number not in self._served:
            return  # boxd has not yet seen the answer
        stream, task = self._served[number]
        if stream.answered:
            return
        if kind == wire.CANCEL:
            self._give_up(stream, task)
        else:
            stream.receive(kind, payload)

    @staticmethod
    def _give_up(stream: EgressStream, task: asyncio.Task[None]) -> None:
        stream.cancelled = True
        asyncio.get_running_loop().call_soon(_stop, stream, task)  # once it has begun, so that it answers

    async def _serve(self, stream: EgressStream, method: Method, request: dict[str, Any]) -> None:
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
        kind = wire.RESULT if answer is None else wire.ERROR
        try:
            await self._send(wire.message(kind, stream.number, {**known, **(answer or {})}))
        except SandboxError:
            return  # this connection has ended, which is reported elsewhere

    def cancel(self) -> None:
        """Cancel every call; boxd gets no answers any more. Idempotent."""
        self._closing = True
        for _, task in self._served.values():
            task.cancel()

    async def aclose(self) -> None:
        """Cancel every call and wait for its end."""
        self.cancel()
        await asyncio.gather(*(task for _, task in self._served.values()), return_exceptions=True)


async def _no_descriptors(request: dict[str, Any], stream: EgressStream) -> None:
    raise OSError(None, "this server could not take the connection")


def _stop(stream: EgressStream, task: asyncio.Task[None]) -> None:
    if not stream.answered:
        task.cancel()
