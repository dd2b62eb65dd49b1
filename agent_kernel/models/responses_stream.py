"""Another server's Responses stream, read as deltas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agent_kernel.errors import ModelError
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.shell_function import LiveCall, parse_call
from agent_kernel.protocol.deltas import (
    Compaction,
    FunctionCallDelta,
    ItemBreak,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    ShellCallDelta,
    ShellCallDone,
    TextDelta,
    Truncated,
    Usage,
)

Deltas = Iterator[ModelDelta]


class ResponsesReader:
    """One answer. `finished` says that its closing event has come.

    `shell_function` is the name under which the shell was offered as a function (None: as the native tool),
    `wrap` puts what is encrypted into its envelope (id, blob), `failure` makes the error for a failure that
    the upstream reports itself (code, words). Servers that send an item only when it is done are understood
    too, and those that write several calls at once: what is said about other items waits until the open call
    is done.
    """

    def __init__(
        self,
        call_ids: CallIds,
        shell_function: str | None,
        wrap: Callable[[str, str], str],
        failure: Callable[[object, str], ModelError],
    ) -> None:
        self.finished = False
        self._call_ids = call_ids
        self._shell_function = shell_function
        self._wrap = wrap
        self._failure = failure
        self._calls: dict[int, tuple[str, str]] = {}  # output index -> call id and function's name
        self._streamed: set[int] = set()  # output indices of which a delta has come
        self._live: dict[int, LiveCall] = {}  # shell calls that come as a function
        self._open: int | None = None  # output index of the call being written
        self._held: list[Any] = []  # events of other items meanwhile

    def read(self, event: Any) -> Deltas:
        """Give the deltas of one event; none for those that only announce or repeat.

        Raises `UpstreamInterrupted` or `UpstreamRefused` where the upstream reports a failure, and
        `MalformedModelOutput`.
        """
        handler = _HANDLERS.get(event.type)
        index = getattr(event, "output_index", None)
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

    def _added(self, event: Any) -> Deltas:
        if event.item is not None and event.item.type in ("function_call", "shell_call"):
            self._call(event)
        yield from ()

    def _call(self, event: Any) -> tuple[str, str]:
        if event.output_index not in self._calls:
            call_id = self._call_ids.unused(event.item.call_id)
            self._calls[event.output_index] = call_id, getattr(event.item, "name", "shell")
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
        call_id, name = self._calls.get(event.output_index, ("", ""))
        if call_id:
            self._open = event.output_index
        if call_id and name == self._shell_function:
            live = self._live.setdefault(event.output_index, LiveCall(call_id))
            yield from live.write(event.delta)
        elif call_id:
            self._streamed.add(event.output_index)
            yield FunctionCallDelta(call_id, name, event.delta)

    def _command(self, event: Any) -> Deltas:
        call_id, _ = self._calls.get(event.output_index, ("", ""))
        text = event.delta if event.type.endswith("delta") else event.command
        if call_id:
            self._open = event.output_index
            yield ShellCallDelta(call_id, event.command_index, text)

    def _done(self, event: Any) -> Deltas:
        item = event.item
        match item.type:
            case "message":
                if event.output_index not in self._streamed:
                    yield from (_part(part) for part in item.content)
                yield ItemBreak()
            case "reasoning":
                yield from self._reasoning_done(event)
            case "compaction":
                yield Compaction(self._wrap(item.id, item.encrypted_content))
            case "function_call":
                yield from self._function_done(event)
            case "shell_call" if item.status != "incomplete":
                call_id, _ = self._call(event)
                action = item.action
                limits = (action.timeout_ms, action.max_output_length)
                yield ShellCallDone(call_id, tuple(action.commands), *limits)

    def _reasoning_done(self, event: Any) -> Deltas:
        if event.output_index not in self._streamed:
            for number, part in enumerate(event.item.summary or ()):
                yield ReasoningDelta(part.text, part=number)
        if event.item.encrypted_content:
            yield ReasoningOpaque(self._wrap(event.item.id, event.item.encrypted_content))
        yield ItemBreak()

    def _function_done(self, event: Any) -> Deltas:
        item = event.item
        call_id, name = self._call(event)
        if name != self._shell_function:
            if event.output_index not in self._streamed:
                yield FunctionCallDelta(call_id, name, item.arguments)
            yield ItemBreak()
        elif item.status != "incomplete":  # one that was cut off is explained by what follows
            yield parse_call(call_id, item.arguments)

    def _completed(self, event: Any) -> Deltas:
        while self._held:  # the open call was never said to be done
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


def _part(part: Any) -> ModelDelta:
    return RefusalDelta(part.refusal) if part.type == "refusal" else TextDelta(part.text)


def _detail(details: Any, name: str) -> int:
    return getattr(details, name, None) or 0


_HANDLERS: dict[str, Callable[[ResponsesReader, Any], Deltas]] = {
    "response.output_item.added": ResponsesReader._added,
    "response.output_item.done": ResponsesReader._done,
    "response.reasoning_summary_text.delta": ResponsesReader._reasoning,
    "response.reasoning_text.delta": ResponsesReader._reasoning,
    "response.output_text.delta": ResponsesReader._text,
    "response.refusal.delta": ResponsesReader._refusal,
    "response.function_call_arguments.delta": ResponsesReader._arguments,
    "response.shell_call_command.added": ResponsesReader._command,
    "response.shell_call_command.delta": ResponsesReader._command,
    "response.completed": ResponsesReader._completed,
    "response.incomplete": ResponsesReader._incomplete,
    "response.failed": ResponsesReader._failed,
    "error": ResponsesReader._error,
}
