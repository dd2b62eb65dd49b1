"""One step of the model: make its request fit, ask it, and emit what it says."""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any, cast

from agent_kernel.errors import ContextLengthExceeded, MalformedCall, SandboxError
from agent_kernel.models.base import MAX_STEP_TOKENS, HasWindow, Model, ModelRequest
from agent_kernel.models.earlier import Continued, earlier_of, later_of
from agent_kernel.protocol.calls import CallDelta, CallDone, CallStart
from agent_kernel.protocol.deltas import (
    Compaction,
    ItemBreak,
    ModelDelta,
    TextDelta,
    Truncated,
    Usage,
    made_upstream,
)
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.wellformed import well_formed_delta
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.turns.answer_length import AnswerLength
from agent_kernel.runtime.turns.context.compaction import (
    compacted,
    compaction_item,
    compacts_itself,
    for_model,
    told_from,
)
from agent_kernel.runtime.turns.context.estimate import CHARACTERS
from agent_kernel.runtime.turns.context.fitting import Fitting
from agent_kernel.runtime.turns.context.gauge import Gauge, Gauges
from agent_kernel.runtime.turns.offered_calls import OfferedCalls
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.tools.base import entry_of
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.namespaces import flat_calls
from agent_kernel.tools.tool_search.loading import visible

log = logging.getLogger(__name__)

Json = Mapping[str, Any]

TOO_LONG = (
    "The model's answer was stopped after about {} tokens. Continue the turn, or raise `max_step_tokens`."
)
NO_LOGPROBS = "The model's server returned no log probabilities, although the request asked for them."
ONLY_REASONED = "The model reasoned and gave no answer. It was asked once more if limits allowed it."
NO_ANSWER = "The model's answer is empty."
NOT_CALLED = (
    "A tool call was required, but the model made none. Its server may not support tools; try `auto`, or "
    "another model."
)


class ModelStep:
    """Asks the models of turns."""

    def __init__(self, containers: LocalContainers, settings: TurnSettings) -> None:
        self._containers = containers
        self._settings = settings
        self._gauges = Gauges()

    async def compact(self, run: Turn) -> None:
        """Replace a conversation that has become too long by a summary, if the request asks for that.

        Raises `Stopped` and what the model raises.
        """
        threshold = run.turn.compact_threshold
        if threshold is None or compacts_itself(run.model, run.upstream_name):
            return
        if run.sizes.estimate(for_model(run.conversation, run.history.settled)) <= threshold:
            return
        await self._compact(run, self._gauge(run).room(None))

    async def _compact(self, run: Turn, room: int | None) -> None:
        with run.interrupt.stoppable():
            item, usage = await compacted(run.model, run.upstream_name, run.conversation, room)
        run.summary_tokens += usage.output_tokens
        await run.emit(run.assembler.insert(item, usage))

    async def ask(self, run: Turn, step: int) -> int:
        """Call the model once and emit what it says. `step` counts the model calls of the turn from 0.

        A request that does not fit the context window is repeated, shortened or compacted. Returns the place
        in the conversation where the answer begins. Without tokens left in the budget the model is not
        called. Raises `Stopped`, and what the model raises: `ContextLengthExceeded` if nothing more can be
        shortened.
        """
        run.interrupt.check()
        fitting, error = self._fitting(run, step), None
        while True:
            request = await fitting.request()
            if error is not None and not fitting.may_send(request):
                raise error
            request, before = _limited(run, request), len(run.conversation)
            if run.meter.reached:
                return before
            check = OfferedCalls(request.tools, run.turn.settings.get("tool_choice"))
            usage, error = await self._stream(run, request, check)
            if error is None:
                break
            fitting.overflowed(request, error)
        for each in check.end():
            await self._take(run, each, check)
        await self._look_up(run)
        await _end_step(run, [*_without_end(run, check), *run.assembler.end_step()])
        said = [*run.conversation[before:], *run.assembler.held_calls()]
        self._measure(run, fitting, request, usage)
        run.meter.answered(run.assembler.usage().total_tokens, request.input, said)
        if run.assembler.truncated is None:
            _notice_missing(run, request, said, step)
        return before

    async def _stream(
        self, run: Turn, request: ModelRequest, check: OfferedCalls
    ) -> tuple[Usage, ContextLengthExceeded | None]:
        """Emit the answer. Return its tokens, and the error if the request did not fit."""
        cap = self._settings.max_step_tokens if run.turn.max_output_tokens is None else 0
        limit = cap * CHARACTERS or None
        request = replace(request, max_characters=limit)
        length, usage, begun = AnswerLength(), Usage(0, 0), False
        try:
            with run.interrupt.stoppable():
                async with aclosing(run.trace.chat(request, run.model.stream(request))) as deltas:
                    async for given in deltas:
                        begun = True
                        usage = given if isinstance(given, Usage) else usage
                        is_full = limit is not None and length.characters > limit
                        delta = Truncated(MAX_STEP_TOKENS) if length.add(given) and is_full else given
                        for each in check.read(delta):
                            await self._take(run, each, check)
                        if limit is not None and delta == Truncated(MAX_STEP_TOKENS):
                            run.assembler.notice(TOO_LONG.format(cap))
                            break  # leaving the generator ends the upstream's request
        except ContextLengthExceeded as error:
            if begun:
                raise
            return usage, error
        return usage, None

    def _gauge(self, run: Turn) -> Gauge:
        gauge = self._gauges.of(run.assembler.response.model)
        gauge.configured = _window(run.model, run.upstream_name)
        return gauge

    def _fitting(self, run: Turn, step: int) -> Fitting:
        return Fitting(
            self._gauge(run),
            lambda: _annotated(run),
            lambda items: _model_request(run, step, items),
            lambda room: self._compact(run, room),
            run.fit_notice,
            run.sizes,
            truncates=run.turn.truncates,
        )

    def _measure(self, run: Turn, fitting: Fitting, request: ModelRequest, usage: Usage) -> None:
        """Learn from the usage of an answer, and show how full the window is if its size is known."""
        tokens = fitting.answered(request, usage.input_tokens)
        if (window := self._gauge(run).window) is not None:
            run.assembler.context(tokens + usage.output_tokens, window)

    async def _take(self, run: Turn, delta: ModelDelta, check: OfferedCalls) -> None:
        if not isinstance(delta, TextDelta):
            await self._look_up(run)  # the message may end here, and its citations with it
        delta = well_formed_delta(delta)
        asked = _asked_first(run, delta)
        if events := _events(run, delta, check) if asked is None else asked:
            await run.emit(events)

    async def _look_up(self, run: Turn) -> None:
        """Ask which paths in the open message are files of the container: those are cited."""
        paths = run.assembler.citations.unknown()
        if not paths or run.container_id is None:
            return
        try:
            files = await self._containers.files.ids(run.container_id, paths)
        except SandboxError as error:  # the message is good without citations
            log.info("The files that were named cannot be cited: %s", error, extra=run.about())
        else:
            run.assembler.citations.found(run.container_id, files)


@cache
def _has_window(kind: type[Model]) -> bool:
    """Return whether models of a class are `HasWindow`. Python looks at all members whenever it is asked."""
    return issubclass(kind, HasWindow)


def _window(model: Model, name: str) -> int | None:
    return cast(HasWindow, model).window(name) if _has_window(type(model)) else None


def only_reasoned(said: Sequence[Json]) -> bool:
    """Return whether a step of the model was reasoning, and nothing else but white space."""
    reasoned = any(item["type"] == "reasoning" for item in said)
    return reasoned and all(item["type"] == "reasoning" or _is_blank(item) for item in said)


_LOGPROBS = operator.methodcaller("get", "logprobs")


def _texts(said: Sequence[Json]) -> Iterator[Json]:
    """Yield the parts of messages that are text."""
    for item in said:
        parts = item.get("content") or () if item["type"] == "message" else ()
        yield from (part for part in parts if part.get("text"))


def _is_blank(item: Json) -> bool:
    parts = item.get("content") or () if item["type"] == "message" else ({"text": item["type"]},)
    return not any((part.get("text") or part.get("refusal") or "").strip() for part in parts)


def _asked_first(run: Turn, delta: ModelDelta) -> Events | None:
    """Let a whole call wait for an approval without an item; None for any other delta.

    Its request, which `ToolCalls` adds at the end of the step, holds the call.
    """
    if not isinstance(delta, CallDone) or not delta.tool.waits_unshown:
        return None
    draft = delta.tool.call_draft(0, count(), CallStart(delta.call_id, delta.name, labels=delta.labels))
    draft.complete(delta)
    tool, call = catalogue().of_call(delta.tool.call_type), to_json(draft.item("completed"))
    if tool is None or not run.approvals.asks(tool, call, entry := entry_of(run.turn.tools, tool, call)):
        return None
    run.approvals.decide(run.id, tool, call, entry)
    return run.assembler.feed(ItemBreak())


def _notice_missing(run: Turn, request: ModelRequest, said: Sequence[Json], step: int) -> None:
    """Notify the user of what a finished step lacks."""
    if run.approvals.waiting:
        return
    if only_reasoned(said):
        run.assembler.notice(ONLY_REASONED)
    elif step == 0 and all(map(_is_blank, said)):
        run.assembler.notice(NO_ANSWER)
    if request.logprobs and (words := list(_texts(said))) and not any(map(_LOGPROBS, words)):
        run.assembler.notice(NO_LOGPROBS)
    choice = request.settings.get("tool_choice")
    kind = choice.get("mode", "required") if isinstance(choice, Mapping) else choice
    called = run.assembler.calls() or run.assembler.client_calls() or run.assembler.rejected()
    called = called or any(made_upstream(item) for item in said)  # by a tool of the model's server
    if kind == "required" and not called and not only_reasoned(said):
        run.assembler.notice(NOT_CALLED)


def _events(run: Turn, delta: ModelDelta, check: OfferedCalls) -> Events:
    """Return the events of a delta. A call that cannot be assembled is rejected, and the step goes on."""
    if isinstance(delta, Compaction):
        return run.assembler.insert(told_from(run.conversation, compaction_item(delta.encrypted_content)))
    try:
        return run.assembler.feed(delta)
    except MalformedCall as error:
        if isinstance(delta, CallDelta | CallDone):
            call = run.assembler.open_call()
            is_over = run.assembler.truncated is not None
            if call is None or call.ends_open or is_over or call.call_id == delta.call_id:
                return run.assembler.feed(check.rejection(delta.call_id, delta.tool, error.why))
    return [*_without_end(run, check), *_events(run, delta, check)]


async def _end_step(run: Turn, events: Events) -> None:
    """Emit the end of a step. The turn's end follows if the step has no calls, and is stored with it."""
    assembler = run.assembler
    if run.hold is None or assembler.last_calls() or assembler.client_calls() or assembler.rejected():
        await run.emit(events)
    else:
        run.hold(events)


def _without_end(run: Turn, check: OfferedCalls) -> Events:
    """Reject the open call if it can no longer get its end, and the model was not cut off in it."""
    call = run.assembler.open_call()
    if call is None or call.ends_open or run.assembler.truncated is not None:
        return []
    kind = run.assembler.kind_of(call.call_id)
    return run.assembler.feed(check.rejection(call.call_id, kind, "it has no end"))


def _annotated(run: Turn) -> Sequence[Json]:
    """Return the conversation as the model receives it, with the lines that tools sent to it in this turn."""
    items = for_model(run.conversation, run.history.settled)
    if not run.told:
        return items
    later = [_with_lines(item, run.told.get(str(item.get("call_id")))) for item in later_of(items)]
    return later if (earlier := earlier_of(items)) is None else Continued(earlier, later)


def _with_lines(item: Json, lines: Mapping[int, str] | None) -> Json:
    tool = catalogue().of_output(item["type"]) if lines else None
    return tool.annotated(item, lines) if tool is not None and lines else item


def _force_once(settings: dict[str, Any]) -> None:
    """Stop forcing a call: it was forced in the first step, and a turn that always forces one never ends."""
    choice = settings.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        settings["tool_choice"] = {**choice, "mode": "auto"}
    elif choice not in ("auto", "none"):
        settings.pop("tool_choice", None)


def _model_request(run: Turn, step: int, items: Sequence[Json]) -> ModelRequest:
    settings = dict(run.turn.settings)
    if step > 0:
        _force_once(settings)
    if run.output_left is not None:
        settings["max_output_tokens"] = run.output_left
    found = visible(run.turn.tools, run.conversation, settings.get("tool_choice"))
    tools = [entry.tool.offered(entry, run.turn.tools) for entry in found]
    return ModelRequest(
        model=run.upstream_name,
        input=flat_calls(items, tools),
        instructions=run.turn.instructions,
        tools=tools,
        settings=settings,
        encrypted_reasoning=run.turn.encrypted_reasoning,
        logprobs=run.turn.logprobs,
        compact_threshold=run.turn.compact_threshold,
    )


def _limited(run: Turn, request: ModelRequest) -> ModelRequest:
    """Return the request with the answer limited to what the turn's budget leaves."""
    limit = run.meter.answer_limit(request.input, request.settings.get("max_output_tokens"))
    if limit is None:
        return request
    return replace(request, settings={**request.settings, "max_output_tokens": limit})
