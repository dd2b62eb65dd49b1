"""The translation of another server's Responses stream into deltas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from agent_kernel.errors import ModelError
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.offered import Offered
from agent_kernel.models.reading.finished_calls import read_calls, read_native
from agent_kernel.models.reading.lenient import (
    detail,
    drawn_of,
    native_text,
    response_of,
    searches_of,
    tier_of,
    typed,
)
from agent_kernel.models.reading.passed_items import PassedItems
from agent_kernel.models.reading.reported import Reported, reported
from agent_kernel.models.reading.response_items import Items, Key, labels_of
from agent_kernel.models.reading.spoken import Spoken
from agent_kernel.models.reading.surrogates import Halves
from agent_kernel.models.reading.whole_body import Lenient
from agent_kernel.protocol.calls import UNKNOWN, CallDelta, RejectedCall
from agent_kernel.protocol.deltas import (
    Compaction,
    ItemBreak,
    ModelDelta,
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
    labels: Mapping[str, Any] = field(default_factory=dict)


class ResponsesReader:
    """The reader of one answer. `finished` is true once its closing event has arrived.

    `offered` maps functions to tools of this server. `wrap(id, blob)` puts encrypted content into its
    envelope. `failure` makes the error for a failure that the upstream reports. `limit` is the
    most output tokens that were asked for: some servers call an answer complete that was cut off there.
    `origin` names the upstream and its model. Servers may send an item only when it is done, or only in the
    closing event. They may also write several calls at once: events of other items are held until the open
    call is done.
    """

    def __init__(
        self,
        call_ids: CallIds,
        offered: Offered,
        wrap: Callable[[str, str], str],
        failure: Callable[[Reported], ModelError],
        limit: int | None = None,
        origin: str = "",
    ) -> None:
        self.finished = False
        self._limit = limit
        self._items = Items()
        self._halves = Halves()
        self._spoken = Spoken(self._items, self._halves, wrap)
        self._passed = PassedItems(self._items, origin)
        self._call_ids = call_ids
        self._offered = offered
        self._wrap = wrap
        self._failure = failure
        self._calls: dict[Key, _Call] = {}
        self._sent: dict[str, set[tuple[str | None, str]]] = {}  # names and arguments of finished calls
        self._whole: dict[Key, str] = {}  # arguments that came whole, before their item was done
        self._open: Key | None = None  # the call being written
        self._held: list[Any] = []  # events of other items that wait for it
        self._unanswered: dict[str, Any] = {}  # calls of tools that nobody here has

    def read(self, event: Any) -> Deltas:
        """Yield the deltas of one event; events that only announce or repeat have none.

        Raises `UpstreamInterrupted` or `UpstreamRefused` if the upstream reports a failure, and
        `MalformedModelOutput`.
        """
        key = self._items.key(event)
        handler = _HANDLERS.get(event.type) or self._native_handler(event.type, key)
        if handler is None:
            return
        if self._open is not None and key not in (None, self._open):
            self._held.append(event)
            return
        yield from handler(self, event, key)
        if event.type == "response.output_item.done":
            yield from self._release()

    def close(self) -> Deltas:
        """Yield what is still open, for an answer that ended without a closing event."""
        yield from self._late(Lenient({}), cut_off=False)
        yield from self._ended(Lenient({}))

    def characters(self, event: Any) -> int:
        """Return how much text an event adds. Events that end something repeat its text."""
        delta = getattr(event, "delta", None)
        return len(str(delta)) if delta else 0

    def stop(self, reason: str) -> Deltas:
        """Yield what is still open, for an answer that is not read to its end."""
        yield from self._late(Lenient({}), cut_off=True)
        self.finished = True
        yield Truncated(reason)

    def _release(self) -> Deltas:
        """Read the events that waited for the open call. It has ended, since another item follows."""
        open_key, self._open = self._open, None
        held, self._held = self._held, []
        if held:
            yield from self._end_written(open_key, cut_off=False)
        for event in held:
            yield from self.read(event)

    def _native_handler(self, event_type: str, key: Key | None) -> Handler | None:
        if self._passed.holds(key):
            return ResponsesReader._passed_event
        call = self._calls.get(key)
        if call is not None and event_type in call.tool.native_events:
            return ResponsesReader._native
        return None

    def _added(self, event: Any, key: Key) -> Deltas:
        if typed([event.item]):
            self._items.saw(event.item.type, key)
            self._spoken.saw_phase(event.item, key)
            if _is_call(event.item.type):
                self._call(event.item, key)
            elif event.item.type not in _SPOKEN:
                yield from self._passed.added(event.item, key)

    def _passed_event(self, event: Any, key: Key) -> Deltas:
        yield from self._passed.event(event, key)

    def _call(self, item: Any, key: Key) -> _Call:
        """Return the call of an item, creating it if it is new."""
        if key not in self._calls:
            call_id, name = self._call_ids.unused(item.call_id), getattr(item, "name", None)
            native = catalogue().of_call(item.type)
            tool = self._offered.called(name) if native is CLIENT_FUNCTION and name else None
            live = tool.live_call(call_id) if tool is not None else None
            if live is not None and tool is not None and tool.repeated:
                live.name = name
            given_id = item.call_id
            silent = given_id in self._sent
            kind = tool or native or CLIENT_FUNCTION
            self._calls[key] = _Call(call_id, kind, name, live, given_id, silent, labels_of(item))
        return self._calls[key]

    def _arguments(self, event: Any, key: Key) -> Deltas:
        call = self._calls.get(key)
        if call is None or call.silent:
            return
        self._open = key
        text = self._halves.joined(key, as_text(event.delta))
        if call.live is not None:
            yield from call.live.write(text)
        else:
            self._items.stream(key)
            yield CallDelta(CLIENT_FUNCTION, call.call_id, text, name=call.name, labels=call.labels)

    def _arguments_done(self, event: Any, key: Key) -> Deltas:
        self._whole[key] = as_text(event.arguments)
        yield from ()

    def _native(self, event: Any, key: Key) -> Deltas:
        call = self._calls[key]
        if not call.silent:
            self._open = key
            for delta in call.tool.read_native_event(call.call_id, event):
                yield replace(delta, name=call.name, labels=call.labels) if call.tool.repeated else delta

    def _done(self, event: Any, key: Key) -> Deltas:
        item = event.item
        if not typed([item]):
            return
        self._items.saw(item.type, key)
        self._items.finish(key)
        match item.type:
            case "message":
                yield from self._spoken.message_done(item, key)
            case "reasoning":
                yield from self._spoken.reasoning_done(item, key)
            case "compaction":
                yield Compaction(self._wrap(item.id, item.encrypted_content))
            case "function_call":
                yield from self._function_done(item, key)
            case kind if _is_call(kind):
                call = self._call(item, key)
                if getattr(item, "status", None) != "incomplete" and not self._is_repeated(
                    call, native_text(item)
                ):
                    yield read_native(call.tool, call.call_id, item)
            case kind:
                yield from self._passed.done(item, key)
                if getattr(item, "call_id", None):
                    self._note_call(item, kind)

    def _function_done(self, item: Any, key: Key) -> Deltas:
        call = self._call(item, key)
        arguments = as_text(item.arguments) or self._whole.get(key, "")
        if self._is_repeated(call, arguments):
            return
        labels = labels_of(item) or call.labels
        whole = (call.call_id, call.name or "", arguments)
        cut_off = getattr(item, "status", None) == "incomplete"
        if call.live is None:
            yield from self._client_done(
                whole, labels, cut_off=cut_off, streamed=self._items.has_streamed(key)
            )
        elif not cut_off:  # a later event explains one that was cut off
            yield from read_calls(call.tool, whole, self._call_ids.another)

    def _note_call(self, item: Any, kind: str) -> None:
        """Note a call that somebody must answer, or the answer that the upstream gave itself."""
        if kind.endswith("_call") and not self._offered.hands_over(kind):
            self._unanswered[item.call_id] = item
        else:
            self._unanswered.pop(item.call_id, None)

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

    def _client_done(
        self, whole: tuple[str, str, str], labels: Mapping[str, Any], *, cut_off: bool, streamed: bool
    ) -> Deltas:
        if cut_off:
            if not streamed:
                yield CallDelta(CLIENT_FUNCTION, whole[0], whole[2], name=whole[1], labels=labels)
        elif not streamed:
            yield from read_calls(None, whole, self._call_ids.another, labels)
        elif not is_object(whole[2]):  # too late to correct what was streamed
            yield RejectedCall(*whole, "its arguments are not a JSON object")
        yield ItemBreak()

    def _completed(self, event: Any, key: Key) -> Deltas:
        response = response_of(event)
        if (status := getattr(response, "status", None)) in ("incomplete", "failed"):
            yield from self._incomplete(event, key) if status == "incomplete" else self._failed(event, key)
            return
        yield from self._late(response, cut_off=False)
        yield from self._ended(response)
        used = detail(getattr(response, "usage", None), "output_tokens")
        if self._limit is not None and used >= self._limit and not self._calls:
            yield Truncated("max_output_tokens")

    def _ended(self, response: Any) -> Deltas:
        while self._held:  # no event has ended the open call
            yield from self._release()
        yield from map(self._unknown, self._unanswered.values())
        self.finished = True
        yield from _used(response)

    def _late(self, response: Any, *, cut_off: bool) -> Deltas:
        """Read the items of the closing event that no event before has ended, each once.

        A call that no event has ended is read too, if its arguments are whole.
        """
        while self._held:
            yield from self._release()
        open_key, self._open = self._open, None
        yield from self._end_written(open_key, cut_off=cut_off)  # before the next item begins
        for item, key in self._items.unfinished(typed(getattr(response, "output", None))):
            if cut_off and self._items.has_streamed(key):
                continue  # it stays open, and so becomes incomplete
            yield from self._done(SimpleNamespace(item=item), key)
        for key in list(self._calls):
            yield from self._end_written(key, cut_off=cut_off)

    def _end_written(self, key: Key, *, cut_off: bool) -> Deltas:
        """Read a call that no event has ended, if its arguments are whole."""
        call = self._calls.get(key)
        if call is None or self._items.is_finished(key):
            return
        written = "" if cut_off or call.live is None else call.live.arguments
        arguments = self._whole.get(key, written)
        if is_object(arguments):
            item = SimpleNamespace(
                type="function_call", call_id=call.given_id, name=call.name, arguments=arguments
            )
            yield from self._done(SimpleNamespace(item=item), key)

    def _incomplete(self, event: Any, key: Key) -> Deltas:
        response = response_of(event)
        yield from self._late(response, cut_off=True)
        yield from self._ended(response)
        details = getattr(response, "incomplete_details", None)
        yield Truncated(getattr(details, "reason", None) or "max_output_tokens")

    def _failed(self, event: Any, key: Key) -> Deltas:
        error: Any = getattr(response_of(event), "error", None)
        fields: Any = error.to_dict(warnings=False) if hasattr(error, "to_dict") else error
        raise self._failure(reported(fields))

    def _error(self, event: Any, key: Key) -> Deltas:
        fields: dict[str, Any] = event.to_dict(warnings=False)
        raise self._failure(reported(fields if fields.get("message") else None, outer=fields))


def _used(response: Any) -> Iterator[Usage]:
    usage, tools = getattr(response, "usage", None), getattr(response, "tool_usage", None)
    tier = tier_of(getattr(response, "service_tier", None))
    if usage is not None or tools is not None or tier is not None:
        yield Usage(
            detail(usage, "input_tokens"),
            detail(usage, "output_tokens"),
            cached_tokens=detail(getattr(usage, "input_tokens_details", None), "cached_tokens"),
            reasoning_tokens=detail(getattr(usage, "output_tokens_details", None), "reasoning_tokens"),
            service_tier=tier,
            drawn=drawn_of(tools),
            searches=searches_of(tools),
        )


_SPOKEN = ("message", "reasoning", "compaction")


def _is_call(kind: str) -> bool:
    """Return whether items of this type call a tool of ours. An upstream's own calls hold their output."""
    tool = catalogue().of_call(kind)
    return tool is not None and not tool.one_item


def _spoken(method: Callable[[Spoken, Any, Key], Deltas]) -> Handler:
    return lambda reader, event, key: method(reader._spoken, event, key)


Handler = Callable[[ResponsesReader, Any, Key], Deltas]

_HANDLERS: dict[str, Handler] = {
    "response.output_item.added": ResponsesReader._added,
    "response.output_item.done": ResponsesReader._done,
    "response.reasoning_summary_text.delta": _spoken(Spoken.reasoning),
    "response.reasoning_text.delta": _spoken(Spoken.reasoning),
    "response.reasoning_summary_text.done": _spoken(Spoken.thought_done),
    "response.reasoning_text.done": _spoken(Spoken.thought_done),
    "response.reasoning_summary_part.done": _spoken(Spoken.thought_done),
    "response.output_text.delta": _spoken(Spoken.text),
    "response.output_text.done": _spoken(Spoken.text_done),
    "response.output_text.annotation.added": _spoken(Spoken.annotation),
    "response.content_part.done": _spoken(Spoken.part_done),
    "response.refusal.delta": _spoken(Spoken.refusal),
    "response.refusal.done": _spoken(Spoken.text_done),
    "response.function_call_arguments.delta": ResponsesReader._arguments,
    "response.function_call_arguments.done": ResponsesReader._arguments_done,
    "response.completed": ResponsesReader._completed,
    "response.done": ResponsesReader._completed,
    "response.incomplete": ResponsesReader._incomplete,
    "response.failed": ResponsesReader._failed,
    "error": ResponsesReader._error,
}
