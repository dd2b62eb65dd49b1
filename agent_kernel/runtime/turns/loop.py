"""The turn loop: model, shell, model, ... until the model is done.

It is one async generator, pulled by whoever reads the events: a reader that stops reading stops the model
and the command, and one that leaves cancels them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from openai.types.responses import (
    ResponseFunctionShellToolCall,
    ResponseStreamEvent,
)

from agent_kernel.errors import AgentKernelError, SandboxError
from agent_kernel.models.base import ModelRequest
from agent_kernel.protocol.deltas import Compaction, TextDelta
from agent_kernel.protocol.items import shell_output
from agent_kernel.protocol.wellformed import well_formed_delta
from agent_kernel.runtime.approvals.approvals import NOT_RUN, told
from agent_kernel.runtime.approvals.items import Answer
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.observe.audit import audited
from agent_kernel.runtime.observe.metrics import Metrics
from agent_kernel.runtime.observe.tracing import UNWATCHED, Tracing
from agent_kernel.runtime.turns.budgets import Budget, Meter, deadline
from agent_kernel.runtime.turns.compaction import (
    compacting,
    compaction_item,
    compacts_itself,
    estimate,
    for_model,
)
from agent_kernel.runtime.turns.failure import failed_events
from agent_kernel.runtime.turns.interrupt import Stopped
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.tools.shell import CommandOutput, ShellLimits, run_shell_call

log = logging.getLogger(__name__)

Events = AsyncGenerator[ResponseStreamEvent, None]
P = TypeVar("P")

CANCELLED = "agent_kernel.cancelled"
"""`incomplete_details.reason` of a turn whose reader left."""

MAX_STEPS = "agent_kernel.max_steps"
"""`incomplete_details.reason` of a turn in which the model did not come to an end."""


@dataclass(frozen=True)
class TurnSettings:
    """What bounds one turn."""

    max_steps: int = 50
    """Calls of the model in one turn; then the response is incomplete and can be continued."""
    budget: Budget = field(default_factory=Budget)
    """What each turn may use; see `runtime.budgets`."""
    steer_grace: float = 5.0
    """Seconds in which a command that runs may end before a steering message stops it."""
    shell: ShellLimits = field(default_factory=ShellLimits)


class TurnLoop:
    """Carries out turns that are prepared."""

    def __init__(
        self,
        containers: LocalContainers,
        settings: TurnSettings,
        metrics: Metrics,
        tracing: Tracing = UNWATCHED,
    ) -> None:
        self._containers = containers
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing

    async def events(self, run: Turn) -> Events:
        """The whole stream. Whatever goes wrong on the way ends it by `error` and `response.failed`."""
        async with AsyncExitStack() as stack:
            if run.container_id is not None:  # held for the whole turn: a thinking model lets nothing expire
                await stack.enter_async_context(self._containers.use(run.container_id))
            await run.approvals.claim(run.id, run.assembler)  # the last thing that can be refused
            run.meter = Meter(self._settings.budget.within(run.turn.budget))
            run.trace = self._tracing.turn(run)
            stack.enter_context(deadline(run))
            try:
                async with aclosing(self._guarded(run)) as events:
                    async for event in events:
                        yield event
            except (GeneratorExit, asyncio.CancelledError):
                if not run.record.ended:
                    await asyncio.shield(self._ended(run, run.assembler.incomplete(CANCELLED)))
                raise

    async def _guarded(self, run: Turn) -> Events:
        try:
            if run.record.journal is None:  # else it began when it was queued
                await run.record.begin(run)
            for event in run.assembler.begin():
                await run.record.event(run, event)
                yield event
            async with aclosing(self._steps(run)) as events:
                async for event in events:
                    await run.record.event(run, event)
                    yield event
            final = self._final(run)
        except Stopped:
            final = self._stopped(run)
        except Exception as error:  # noqa: BLE001 (it becomes the stream's last events, and a log entry)
            final = self.failure(run, error)
        for event in await self._settled(run, final):
            yield event

    def failure(self, run: Turn, error: Exception) -> Sequence[ResponseStreamEvent]:
        """The last events of a turn that failed so; a stream that has begun must end in words."""
        if isinstance(error, AgentKernelError):
            log.info("The turn %s failed.", run.id, exc_info=error, extra=_about(run))
            return run.assembler.fail(code=error.code or "server_error", message=str(error))
        log.error("The turn %s failed.", run.id, exc_info=error, extra=_about(run))
        words = f"Something unforeseen went wrong in the runtime ({type(error).__name__}); its log has more."
        return run.assembler.fail(code="server_error", message=words)

    async def fail(self, run: Turn, error: Exception) -> Sequence[ResponseStreamEvent]:
        """End a turn that could not even begin."""
        return await self._settled(run, self.failure(run, error))

    def _stopped(self, run: Turn) -> Sequence[ResponseStreamEvent]:
        assert run.interrupt is not None  # noqa: S101 (who else would have stopped it)
        if run.interrupt.status == "cancelled":
            return run.assembler.cancel()
        return run.assembler.incomplete(run.interrupt.reason)

    def _final(self, run: Turn) -> Sequence[ResponseStreamEvent]:
        reason = run.meter.named(run.assembler.truncated) or self._over(run)
        return run.assembler.incomplete(reason) if reason else run.assembler.complete()

    def _over(self, run: Turn) -> str | None:
        """Which limit keeps a turn from its next step, None if it has ended by itself."""
        if run.meter.reached is not None:
            return run.meter.reached
        calls = run.assembler.last_calls()
        if run.approvals.waiting:
            return None
        if not calls or run.container_id is None or run.assembler.function_calls():
            return None  # the model is done, or the client has calls to answer
        limit = run.turn.max_output_tokens
        if limit is not None and run.assembler.usage().output_tokens >= limit:
            return "max_output_tokens"
        return MAX_STEPS

    async def _steps(self, run: Turn) -> Events:
        """Model, shell, model, ... until the model is done, is cut off, or a limit is reached."""
        assembler = run.assembler
        async with aclosing(self._carry_out_answered(run)) as events:
            async for event in events:
                yield event
        for step in range(self._settings.max_steps if run.turn.generate else 0):
            for part in (self._compact(run), self._ask_model(run, step)):
                async with aclosing(part) as events:
                    async for event in events:
                        yield event
            if assembler.truncated is not None or run.meter.reached:
                return
            calls = assembler.shell_calls()
            async with aclosing(self._carry_out_all(run, calls)) as events:
                async for event in events:
                    yield event
            if self._over(run) != MAX_STEPS:
                return

    async def _compact(self, run: Turn) -> Events:
        """Put a summary in the place of a conversation that has become too long, if that was asked for."""
        threshold = run.turn.compact_threshold
        if threshold is None or compacts_itself(run.model, run.upstream_name):
            return
        if estimate(for_model(run.conversation)) <= threshold:
            return
        if run.interrupt is not None:
            run.interrupt.check()
        source = self._through(run, compacting(run.model, run.upstream_name, run.conversation))
        async with aclosing(source) as found:
            async for item, usage in found:
                for event in run.assembler.insert(item, usage):
                    yield event

    def _through(
        self, run: Turn, source: AsyncGenerator[P, None], grace: float = 0.0
    ) -> AsyncGenerator[P, None]:
        return source if run.interrupt is None else run.interrupt.through(source, grace=grace)

    async def _ask_model(self, run: Turn, step: int) -> Events:
        if run.interrupt is not None:
            run.interrupt.check()
        request, before = self._model_request(run, step), len(run.conversation)
        if run.meter.reached:
            return
        source = self._through(run, run.trace.chat(request, run.model.stream(request)))
        async with aclosing(source) as deltas:
            async for delta in deltas:
                if not isinstance(delta, TextDelta):
                    await self._look_up(run)
                if isinstance(delta, Compaction):
                    events = run.assembler.insert(compaction_item(delta.encrypted_content))
                else:
                    events = run.assembler.feed(well_formed_delta(delta))
                for event in events:
                    yield event
        await self._look_up(run)
        for event in run.assembler.end_step():
            yield event
        said = run.conversation[before:]
        run.meter.answered(run.assembler.usage().total_tokens, request.input, said)

    async def _look_up(self, run: Turn) -> None:
        """Whether what the open message names are files of the container: those are cited."""
        paths = run.assembler.citations.unknown()
        if not paths or run.container_id is None:
            return
        try:
            files = await self._containers.files.ids(run.container_id, paths)
        except SandboxError as error:  # what was said is worth no less without
            log.info("The files that were named cannot be cited: %s", error, extra=_about(run))
        else:
            run.assembler.citations.found(run.container_id, files)

    def _model_request(self, run: Turn, step: int) -> ModelRequest:
        settings = dict(run.turn.settings)
        if step > 0 and settings.get("tool_choice") not in ("auto", "none"):
            settings.pop("tool_choice", None)  # it was obeyed; obeying it for ever would never end
        told, limit = for_model(run.conversation), run.turn.max_output_tokens
        left = None if limit is None else limit - run.assembler.usage().output_tokens
        if (limit := run.meter.answer_limit(told, left)) is not None:
            settings["max_output_tokens"] = limit
        return ModelRequest(
            model=run.upstream_name,
            input=told,
            instructions=run.turn.instructions,
            shell=run.turn.shell is not None,
            functions=run.turn.functions,
            settings=settings,
            encrypted_reasoning=run.turn.encrypted_reasoning,
            compact_threshold=run.turn.compact_threshold,
        )

    async def _carry_out_all(self, run: Turn, calls: Sequence[ResponseFunctionShellToolCall]) -> Events:
        for call in calls:
            if run.container_id is None:
                run.assembler.hand_over(call)
                continue
            if run.interrupt is not None:
                run.interrupt.check()
            refusal = run.approvals.decide(run.id, call)
            if run.approvals.waits(call):
                run.assembler.hand_over(call)
                continue
            async with aclosing(self._carry_out(run, call, run.container_id, refusal)) as events:
                async for event in events:
                    yield event
        for _, item in run.approvals.waiting:
            for event in run.assembler.insert(item):
                yield event

    async def _carry_out_answered(self, run: Turn) -> Events:
        """Run the calls of the turn before that were waiting for the approvals which this one brings."""
        for answer in run.approvals.answers:
            assert run.container_id is not None  # noqa: S101 (else the answer would have been refused)
            if run.interrupt is not None:
                run.interrupt.check()
            refusal = run.approvals.refusal(answer, run.container_id)
            carried_out = self._carry_out(run, answer.call, run.container_id, refusal, answer)
            async with aclosing(carried_out) as events:
                async for event in events:
                    yield event

    async def _carry_out(
        self,
        run: Turn,
        call: ResponseFunctionShellToolCall,
        container_id: str,
        refusal: str | None,
        answer: Answer | None = None,
    ) -> Events:
        """Run one shell call in the turn's container; its output goes out as it is printed.

        With a `refusal` it is not run: that is its output.
        """
        assembler, call_id = run.assembler, call.call_id
        for event in assembler.open_output(call):
            yield event
        if refusal is None:
            run.calls_made += 1
            if run.turn.max_tool_calls is not None and run.calls_made > run.turn.max_tool_calls:
                refusal = "Not run: max_tool_calls is used up."
            elif not run.meter.may_call(run.calls_made):
                refusal = "Not run: the turn may make no more calls."
        if refusal is not None:
            for index in range(len(call.action.commands)):
                content = shell_output("", refusal, exit_code=NOT_RUN)
                for event in assembler.command_done(call_id, index, content):
                    yield event
        else:
            async with aclosing(self._run_commands(run, call, container_id, answer)) as events:
                async for event in events:
                    yield event
        for event in assembler.close_output(call_id):
            yield event

    async def _run_commands(
        self, run: Turn, call: ResponseFunctionShellToolCall, container_id: str, answer: Answer | None
    ) -> Events:
        assembler, call_id, action = run.assembler, call.call_id, call.action
        async with self._containers.use(container_id, to_run=True) as channel:
            pieces = audited(
                self._containers.audit,
                run_shell_call(
                    channel,
                    action.commands,
                    timeout_ms=action.timeout_ms,
                    max_output_length=action.max_output_length,
                    limits=self._settings.shell,
                ),
                action.commands,
                container=container_id,
                response=run.id,
                call=call_id,
            )
            pieces = run.trace.tool(call, told(answer, pieces))
            async with aclosing(self._through(run, pieces, self._settings.steer_grace)) as source:
                async for piece in source:
                    if isinstance(piece, CommandOutput):
                        events = assembler.output(
                            call_id, piece.command_index, stdout=piece.stdout, stderr=piece.stderr
                        )
                    else:
                        self._metrics.count("commands_total", outcome=_outcome(piece.exit_code))
                        content = shell_output(piece.stdout, piece.stderr, exit_code=piece.exit_code)
                        events = assembler.command_done(call_id, piece.command_index, content)
                    for event in events:
                        yield event

    async def _settled(
        self, run: Turn, final: Sequence[ResponseStreamEvent]
    ) -> Sequence[ResponseStreamEvent]:
        """Write the end down; return its events, or those of a failure if that was not possible.

        It comes before they go out: whoever has seen the end can continue.
        """
        try:
            await self._ended(run, final)
        except AgentKernelError as error:
            log.exception("The turn %s could not be stored.", run.id, extra=_about(run))
            number = final[0].sequence_number
            return failed_events(run.assembler.response, f"The turn could not be stored. {error}", number)
        return final

    async def _ended(self, run: Turn, final: Sequence[ResponseStreamEvent]) -> None:
        run.trace.end(run.assembler.response)
        await run.record.end(run, final)
        response, metrics = run.assembler.response, self._metrics
        seconds = time.monotonic() - run.begun_at
        metrics.count("turns_total", status=response.status or "completed")
        metrics.turn_took(seconds)
        if response.usage is not None:
            metrics.count("tokens_total", response.usage.input_tokens, kind="input")
            metrics.count("tokens_total", response.usage.output_tokens, kind="output")
        log.info("The turn %s is %s after %.3f s.", run.id, response.status, seconds, extra=_about(run))


def _about(run: Turn) -> dict[str, str | None]:
    return {"response_id": run.id, "container_id": run.container_id}


def _outcome(exit_code: int | None) -> str:
    if exit_code is None:
        return "timeout"
    return "success" if exit_code == 0 else "failure"
