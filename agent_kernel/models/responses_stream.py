"""The translation of another server's Responses stream into deltas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import ModelError
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.finished_calls import read_calls, read_native
from agent_kernel.models.offered import Offered
from agent_kernel.protocol.calls import UNKNOWN, CallDelta, RejectedCall
from agent_kernel.protocol.deltas import (
    Compaction,
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
    Truncated,
    Usage,
)
from agent_kernel.tools.arguments import as_text, is_object
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.client import CLIENT_FUNCTION
from agent_kernel.tools.live import LiveCall

Deltas = Iterator[ModelDelta]


@dataclass(frozen=True)
class _Call:
    """A call that the upstream is writing. `live` is set if it calls a tool of this server as a function."""

    call_id: str
    tool: Tool
    name: str | None
    live: LiveCall | None
    given_id: str | None = None
    silent: bool = False
    """Whether its id came before: it may be the same call, so nothing is shown before it is whole."""


class ResponsesReader:
    """The reader of one answer. `finished` is true once its closing event has arrived.

    `offered` maps functions to tools of this server. `wrap(id, blob)` puts encrypted content into its
    envelope. `failure(code, message)` makes the error for a failure that the upstream reports. Servers may
    send an item only when it is done. They may also write several calls at once: events of other items are
    held until the open call is done.
    """

    def __init__(
        self,
        call_ids: CallIds,
        offered: Offered,
        wrap: Callable[[str, str], str],
        failure: Callable[[object, str], ModelError],
    ) -> None:
        self.finished = False
        self._call_ids = call_ids
        self._offered = offered
        self._wrap = wrap
        self._failure = failure
        self._calls: dict[int, _Call] = {}  # by output index
        self._sent: dict[str, set[tuple[str | None, str]]] = {}  # names and arguments of finished calls
        self._streamed: set[int] = set()  # output indices that have had a delta
        self._open: int | None = None  # output index of the call being written
        self._held: list[Any] = []  # events of other items that wait for it

    def read(self, event: Any) -> Deltas:
        """Yield the deltas of one event; events that only announce or repeat have none.

        Raises `UpstreamInterrupted` or `UpstreamRefused` if the upstream reports a failure, and
        `MalformedModelOutput`.
        """
        index = getattr(event, "output_index", None)
        handler = _HANDLERS.get(event.type) or self._native_handler(event.type, index)
        if handler is None:
            return
        if self._open is not None and index not in (None, self._open):
            self._held.append(event)
            return
        yield from handler(self, event)
        if event.type == "response.output_item.done":
            yield from self._release()

    def _release(self) -> Deltas:
        self._open = None
        held, self._held = self._held, []
        for event in held:
            yield from self.read(event)

    def _native_handler(self, event_type: str, index: int | None) -> Handler | None:
        call = self._calls.get(index) if index is not None else None
        if call is not None and event_type in call.tool.native_events:
            return ResponsesReader._native
        return None

    def _added(self, event: Any) -> Deltas:
        if event.item is not None and catalogue().of_call(event.item.type) is not None:
            self._call(event)
        yield from ()

    def _call(self, event: Any) -> _Call:
        """Return the call at the event's output index, creating it if it is new."""
        if event.output_index not in self._calls:
            call_id, name = self._call_ids.unused(event.item.call_id), getattr(event.item, "name", None)
            native = catalogue().of_call(event.item.type)
            tool = self._offered.called(name) if native is CLIENT_FUNCTION and name else None
            live = tool.live_call(call_id) if tool is not None else None
            given_id = event.item.call_id
            silent = given_id in self._sent
            call = _Call(call_id, tool or native or CLIENT_FUNCTION, name, live, given_id, silent)
            self._calls[event.output_index] = call
        return self._calls[event.output_index]

    def _reasoning(self, event: Any) -> Deltas:
        self._streamed.add(event.output_index)
        part = getattr(event, "summary_index", None)
        yield ReasoningDelta(event.delta, part=event.content_index if part is None else part)

    def _text(self, event: Any) -> Deltas:
        self._streamed.add(event.output_index)
        yield TextDelta(event.delta)

    def _refusal(self, event: Any) -> Deltas:
        self._streamed.add(event.output_index)
        yield RefusalDelta(event.delta)

    def _arguments(self, event: Any) -> Deltas:
        call = self._calls.get(event.output_index)
        if call is None or call.silent:
            return
        self._open = event.output_index
        if call.live is not None:
            yield from call.live.write(as_text(event.delta))
        else:
            self._streamed.add(event.output_index)
            yield CallDelta(CLIENT_FUNCTION, call.call_id, as_text(event.delta), name=call.name)

    def _native(self, event: Any) -> Deltas:
        call = self._calls[event.output_index]
        if not call.silent:
            self._open = event.output_index
            yield from call.tool.read_native_event(call.call_id, event)

    def _done(self, event: Any) -> Deltas:
        item = event.item
        match item.type:
            case "message":
                if event.output_index not in self._streamed:
                    yield from (_part(part) for part in item.content or ())
                yield ItemBreak()
            case "reasoning":
                yield from self._reasoning_done(event)
            case "compaction":
                yield Compaction(self._wrap(item.id, item.encrypted_content))
            case "function_call":
                yield from self._function_done(event)
            case kind if catalogue().of_call(kind) is not None:
                call = self._call(event)
                if item.status != "incomplete" and not self._is_repeated(call, _native_text(item)):
                    yield read_native(call.tool, call.call_id, item)
            case kind if kind.endswith("_call") and getattr(item, "call_id", None):
                yield self._unknown(item)  # an upstream's own calls have no call id

    def _reasoning_done(self, event: Any) -> Deltas:
        if event.output_index not in self._streamed:
            for number, part in enumerate(event.item.summary or ()):
                yield ReasoningDelta(part.text, part=number)
        if event.item.encrypted_content:
            yield ReasoningOpaque(self._wrap(event.item.id, event.item.encrypted_content))
        yield ItemBreak()

    def _function_done(self, event: Any) -> Deltas:
        item = event.item
        call = self._call(event)
        if self._is_repeated(call, as_text(item.arguments)):
            return
        if call.live is None:
            yield from self._client_done(event, call)
        elif item.status != "incomplete":  # a later event explains one that was cut off
            whole = (call.call_id, call.name or "", as_text(item.arguments))
            yield from read_calls(call.tool, whole, self._call_ids.another)

    def _unknown(self, item: Any) -> RejectedCall:
        name = str(getattr(item, "name", None) or item.type.removesuffix("_call"))
        given = getattr(item, "arguments", None) or getattr(item, "input", None) or ""
        return RejectedCall(self._call_ids.unused(item.call_id), name, as_text(given), UNKNOWN)

    def _is_repeated(self, call: _Call, arguments: str) -> bool:
        """Return whether the server has sent this call before, under the same id."""
        if not call.given_id:
            return False
        sent = self._sent.setdefault(call.given_id, set())
        repeated = (call.name, arguments) in sent
        sent.add((call.name, arguments))
        return repeated

    def _client_done(self, event: Any, call: _Call) -> Deltas:
        whole = (call.call_id, call.name or "", as_text(event.item.arguments))
        if event.item.status == "incomplete":
            if event.output_index not in self._streamed:
                yield CallDelta(CLIENT_FUNCTION, call.call_id, whole[2], name=call.name)
        elif event.output_index not in self._streamed:
            yield from read_calls(None, whole, self._call_ids.another)
        elif not is_object(whole[2]):  # too late to correct what was streamed
            yield RejectedCall(*whole, "its arguments are not a JSON object")
        yield ItemBreak()

    def _completed(self, event: Any) -> Deltas:
        while self._held:  # no event has ended the open call
            yield from self._release()
        self.finished = True
        usage = event.response.usage
        if usage is not None:
            yield Usage(
                usage.input_tokens,
                usage.output_tokens,
                cached_tokens=_detail(usage.input_tokens_details, "cached_tokens"),
                reasoning_tokens=_detail(usage.output_tokens_details, "reasoning_tokens"),
            )

    def _incomplete(self, event: Any) -> Deltas:
        yield from self._completed(event)
        details = event.response.incomplete_details
        yield Truncated((details.reason if details else None) or "max_output_tokens")

    def _failed(self, event: Any) -> Deltas:
        error = event.response.error
        raise self._failure(error.code, error.message) if error else self._failure(None, "it gives no reason")

    def _error(self, event: Any) -> Deltas:
        raise self._failure(event.code, event.message or "it gives no reason")


def _native_text(item: Any) -> str:
    """Return what a native call does, without its ids."""
    fields = item.to_dict(mode="json", warnings=False)
    return json.dumps({name: fields[name] for name in sorted(fields) if name not in _OF_THIS_COPY})


_OF_THIS_COPY = ("id", "call_id", "status")


def _part(part: Any) -> ModelDelta:
    return RefusalDelta(part.refusal or "") if part.type == "refusal" else TextDelta(part.text or "")


def _detail(details: Any, name: str) -> int:
    return getattr(details, name, None) or 0


Handler = Callable[[ResponsesReader, Any], Deltas]

_HANDLERS: dict[str, Handler] = {
    "response.output_item.added": ResponsesReader._added,
    "response.output_item.done": ResponsesReader._done,
    "response.reasoning_summary_text.delta": ResponsesReader._reasoning,
    "response.reasoning_text.delta": ResponsesReader._reasoning,
    "response.output_text.delta": ResponsesReader._text,
    "response.refusal.delta": ResponsesReader._refusal,
    "response.function_call_arguments.delta": ResponsesReader._arguments,
    "response.completed": ResponsesReader._completed,
    "response.incomplete": ResponsesReader._incomplete,
    "response.failed": ResponsesReader._failed,
    "error": ResponsesReader._error,
}
