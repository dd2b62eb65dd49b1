"""The turn loop: model, tool calls, model, ... until the model is done.

Each turn runs in its own task. Its steps are coroutines that emit events into the turn's channel. A reader
that stops reading pauses the model and the commands; a reader that leaves cancels them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack

from openai.types.responses import ResponseStreamEvent

from agent_kernel.errors import AgentKernelError, ToolServerFailed
from agent_kernel.runtime.approvals.questions import OpenQuestions, TurnQuestions
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.network.turn_use import MOST_SHOWN, shown
from agent_kernel.runtime.observe.metrics import Metrics
from agent_kernel.runtime.observe.tracing import UNWATCHED, Tracing, TurnTags
from agent_kernel.runtime.turns.budgets import Meter, deadline
from agent_kernel.runtime.turns.channel import ROOM, EventChannel, streamed
from agent_kernel.runtime.turns.emitter import Emitter
from agent_kernel.runtime.turns.failure import failed_events
from agent_kernel.runtime.turns.history import Json
from agent_kernel.runtime.turns.interrupt import Stopped
from agent_kernel.runtime.turns.model_step import ModelStep, only_reasoned
from agent_kernel.runtime.turns.servers.listing import ToolListing
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.turns.tool_calls import ToolCalls
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.tools.document_search.search import DocumentSearch

log = logging.getLogger(__name__)

Events = AsyncGenerator[ResponseStreamEvent, None]

CANCELLED = "agent_kernel.cancelled"
"""`incomplete_details.reason` of a turn whose reader left."""

MAX_STEPS = "agent_kernel.max_steps"
"""`incomplete_details.reason` of a turn that reached its limit of model calls."""


REJECTED_CALLS = "agent_kernel.rejected_calls"
"""`incomplete_details.reason` of a turn whose model made only calls that cannot be carried out."""


class TurnLoop:
    """Runs prepared turns."""

    def __init__(
        self,
        containers: LocalContainers,
        settings: TurnSettings,
        metrics: Metrics,
        tracing: Tracing = UNWATCHED,
        questions: OpenQuestions | None = None,
        documents: DocumentSearch | None = None,
    ) -> None:
        self._containers = containers
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing
        self._questions = questions or OpenQuestions("")
        self._model = ModelStep(containers, settings)
        self._calls = ToolCalls(containers, settings, metrics, documents)
        self._listing = ToolListing(settings, containers)

    def events(self, run: Turn, room: int = ROOM) -> Events:
        """Run the turn and yield its events. A failure ends them with `error` and `response.failed`.

        The turn may be about `room` events ahead of its reader; see `EventChannel`.
        Closing or cancelling the generator ends the turn as incomplete. Raises an error if the turn is
        refused: the container is gone, or an approval was already answered.
        """

        async def work(channel: EventChannel[ResponseStreamEvent]) -> None:
            await self.run(run, channel)

        return streamed(work, room)

    async def run(self, run: Turn, channel: EventChannel[ResponseStreamEvent] | None = None) -> None:
        """Run the turn to its end; without a `channel` its events are only stored. See `events`."""
        async with AsyncExitStack() as stack:
            if run.container_id is not None:  # it must not expire while the model thinks
                await stack.enter_async_context(self._containers.use(run.container_id, turn=True))
            run.servers = await stack.enter_async_context(self._listing.servers(run))
            await run.approvals.claim(run.id, run.assembler)  # the last thing that can be refused
            run.meter = Meter(self._settings.budget.within(run.turn.budget))
            run.trace = self._tracing.turn(_tags(run))
            stack.enter_context(deadline(run.interrupt, run.meter.budget.seconds, run.begun_at))
            run.emit = emitter = Emitter(run, channel)
            run.hold = emitter.hold if run.record.journal is None else None
            run.questions = self._asking(run) if run.turn.answers else None
            try:
                final = await self._guarded(run, emitter)
                emitter.end(await self._settled(run, final))
            except asyncio.CancelledError:
                if not run.record.ended:
                    await asyncio.shield(self._ended(run, run.assembler.incomplete(CANCELLED)))
                raise

    def _asking(self, run: Turn) -> TurnQuestions:
        async def emit(item: Json) -> None:
            await run.emit(run.assembler.insert(item))

        return TurnQuestions(run.id, emit, self._questions, self._containers.audit)

    def _close_network(self, run: Turn) -> None:
        """End the turn's questions, and put the hosts that it used into its response."""
        if run.questions is not None:
            run.questions.close()
        if run.container_id is not None and (used := self._containers.take_used(run.container_id, run.id)):
            run.assembler.network([shown(each) for each in used[:MOST_SHOWN]])

    async def _close_meter(self, run: Turn) -> None:
        """Put what the turn's container has used into its response, and count it."""
        if run.container_id is None:
            return
        if (used := await self._containers.metering.take(run.container_id, run.id)) is not None:
            run.assembler.compute(used.shown())
            for name, amount in used.counts().items():
                self._metrics.count(name, amount, backend=used.backend)

    async def _guarded(self, run: Turn, emitter: Emitter) -> Sequence[ResponseStreamEvent]:
        """Run the steps of a turn and return its last events, even after a failure."""
        try:
            # A queued turn has its row already. Any other asks the model while the row is written.
            written = run.record.start(run) if run.record.journal is None else None
            if written is not None and not run.approvals.answers:  # those run before the model is asked
                emitter.open(run.assembler.begin(), written)
            else:
                await run.record.begun()
                await run.emit(run.assembler.begin())
            try:
                await self._steps(run)
            finally:
                self._close_network(run)
                await self._close_meter(run)
            await run.record.begun()
            return self._final(run)
        except Stopped:
            return self._stopped(run)
        except Exception as error:  # noqa: BLE001 (it becomes the stream's last events, and a log entry)
            return self.failure(run, error)

    async def _steps(self, run: Turn) -> None:
        """Ask the model and run its calls, until it is done, is cut off, or a limit is reached."""
        await self._listing.list(run)
        await self._calls.answered(run)
        if run.rejoins:
            await self._calls.rejoin(run)
            if self._over(run) != MAX_STEPS:
                return
        first = 1 if run.resumed and run.produced else 0  # the first step was another process's
        for step in range(first, self._settings.max_steps if run.turn.generate else 0):
            await self._model.compact(run)
            before = await self._model.ask(run, step)
            if run.assembler.truncated is not None or run.meter.reached:
                return
            if self._may_ask_again(run) and only_reasoned(run.conversation[before:]):
                run.asked_again = True
                del run.conversation[before:]  # the same question, without reasoning that led nowhere
                continue
            accepted = run.assembler.accepted()
            await self._calls.all(run, run.assembler.calls())
            run.rejected_steps = 0 if accepted else run.rejected_steps + 1
            if self._over(run) != MAX_STEPS:
                return
            await self._listing.again(run)

    def _may_ask_again(self, run: Turn) -> bool:
        """Return whether the turn may repeat a model call that gave no answer. Such a call ran nothing."""
        called = run.assembler.last_calls() or run.approvals.waiting
        return run.output_left != 0 and not run.asked_again and not called

    def failure(self, run: Turn, error: Exception) -> Sequence[ResponseStreamEvent]:
        """Return the last events of a failed turn, which tell the client why it failed."""
        if isinstance(error, AgentKernelError):
            log.info("The turn %s failed.", run.id, exc_info=error, extra=run.about())
            if isinstance(error, ToolServerFailed):
                about = {"kind": error.kind, "param": error.param}
                return run.assembler.fail(code=str(error.code), message=str(error), **about)
            return run.assembler.fail(code=error.code or "server_error", message=str(error))
        log.error("The turn %s failed.", run.id, exc_info=error, extra=run.about())
        words = f"Internal error ({type(error).__name__}). Details are in the server log."
        return run.assembler.fail(code="server_error", message=words)

    async def fail(self, run: Turn, error: Exception) -> Sequence[ResponseStreamEvent]:
        """End a turn that could not begin."""
        return await self._settled(run, self.failure(run, error))

    def _stopped(self, run: Turn) -> Sequence[ResponseStreamEvent]:
        if run.interrupt.status == "cancelled":
            return run.assembler.cancel()
        return run.assembler.incomplete(run.interrupt.reason)

    def _final(self, run: Turn) -> Sequence[ResponseStreamEvent]:
        reason = run.meter.named(run.assembler.truncated) or self._over(run)
        return run.assembler.incomplete(reason) if reason else run.assembler.complete()

    def _over(self, run: Turn) -> str | None:
        """Return the limit that stops a turn before its next step, or None if the turn ended normally."""
        if run.meter.reached is not None:
            return run.meter.reached
        calls = run.assembler.last_calls() or run.assembler.rejected()
        if run.approvals.waiting:
            return None
        if not calls or run.handed_over or run.assembler.client_calls():
            return None  # the model is done, or the client has calls to answer
        if run.rejected_steps >= self._settings.max_rejected:
            return REJECTED_CALLS
        if run.output_left == 0:
            return "max_output_tokens"
        return MAX_STEPS

    async def _settled(
        self, run: Turn, final: Sequence[ResponseStreamEvent]
    ) -> Sequence[ResponseStreamEvent]:
        """Store the end and return its events, or the events of a failure if it cannot be stored.

        The end is stored before its events are sent, so that a client that has seen them can continue.
        """
        try:
            await self._ended(run, final)
        except Exception as error:  # the client needs an end, whatever the store raises
            log.exception("The turn %s could not be stored.", run.id, extra=run.about())
            why = str(error) if isinstance(error, AgentKernelError) else f"({type(error).__name__})"
            number = final[0].sequence_number
            return failed_events(run.assembler.response, f"The turn could not be stored. {why}", number)
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
        log.info("The turn %s is %s after %.3f s.", run.id, response.status, seconds, extra=run.about())


def _tags(run: Turn) -> TurnTags:
    return TurnTags(
        run.id, run.assembler.response.model, run.upstream_name, run.container_id, run.turn.conversation_id
    )
