"""Carries out the tool calls of a turn. Each call is one coroutine that emits its output as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.protocol import ids
from agent_kernel.protocol.broken import BrokenCall
from agent_kernel.protocol.calls import CallDelta, CallItem, call_key, json_key
from agent_kernel.protocol.items import item_of, to_json
from agent_kernel.protocol.restored import RestoredAssembler
from agent_kernel.runtime.approvals.approvals import note_of
from agent_kernel.runtime.approvals.items import Answer
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.network.destinations import connect_refusal
from agent_kernel.runtime.network.egress import RunningCall, one_line
from agent_kernel.runtime.observe.audit import audited_call
from agent_kernel.runtime.observe.metrics import Metrics
from agent_kernel.runtime.turns.channel import together
from agent_kernel.runtime.turns.history import Json
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.turns.turn import INTERRUPTED, Turn
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.base import Tool, ToolEntry, entry_of
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.context import LostCall, RejoinedCall, ToolContext
from agent_kernel.tools.document_search.search import DocumentSearch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Call:
    """A call that gets an output: it runs, or its output is the `refusal`."""

    tool: Tool
    item: CallItem
    json: Json
    refusal: str | None
    entry: ToolEntry | None = None
    answer: Answer | None = None
    rejoin: RejoinedCall | None = None
    """How a call continues whose process died."""
    opened: bool = False
    """Whether its output item is open already."""


class ToolCalls:
    """Carries out the calls of turns."""

    def __init__(
        self,
        containers: LocalContainers,
        settings: TurnSettings,
        metrics: Metrics,
        documents: DocumentSearch | None = None,
    ) -> None:
        self._documents = documents
        self._containers = containers
        self._settings = settings
        self._metrics = metrics

    async def answered(self, run: Turn) -> None:
        """Run the calls of the turn before that waited for the approvals in this turn's input."""
        for answer in run.approvals.answers:
            run.interrupt.check()
            if not answer.runs:
                continue
            refusal = run.approvals.refusal(answer, run.container_id) or _over_limit(run)
            entry = entry_of(run.turn.tools, answer.tool, answer.call)
            item = await _made_again(run, answer) if answer.tool.one_item else item_of(answer.call)
            call = _Call(answer.tool, item, to_json(item), refusal, entry, answer)
            await self._carry_out(run, call)
            await _settled(run)

    async def all(self, run: Turn, items: Sequence[CallItem]) -> None:
        """Run the calls of one step, except those that the client runs or a person must approve.

        Limits and approvals are decided in the order of the calls. Then the calls run: those of different
        tools, and of a tool that is `parallel`, at the same time; others one after the other. The first
        failure cancels the rest. Raises `Stopped`, and what the tools raise.
        """
        await self._together(run, [call for item in items if (call := self._decided(run, item)) is not None])

    async def _together(self, run: Turn, calls: Sequence[_Call]) -> None:
        await together(*(self._in_order(run, group) for group in _groups(calls)))
        await _settled(run)
        for key, item in run.approvals.waiting:
            await run.emit([*run.assembler.put_off(key), *run.assembler.insert(item)])

    async def rejoin(self, run: Turn) -> None:
        """Finish the calls that were running when the turn's last process died.

        Raises `Stopped` if their tool cannot find out their outcome: then the turn ends as incomplete. A turn
        that is stopped or fails here ends them in the sandbox, even those that it has not yet rejoined.
        """
        by_tool: dict[Tool, list[LostCall]] = {}
        for broken in run.rejoins:
            by_tool.setdefault(_tool_of(broken.call["type"]), []).append(_lost(run, broken))
        try:
            await self._rejoin(run, by_tool)
        except BaseException:
            await asyncio.shield(self._abandon(run, by_tool))
            raise

    async def _rejoin(self, run: Turn, by_tool: Mapping[Tool, Sequence[LostCall]]) -> None:
        known = await self._commands(run)
        calls: list[_Call] = []
        for tool, lost in by_tool.items():
            plans = tool.rejoin(lost, run.id, known)
            if not plans:
                run.interrupt.stop("incomplete", INTERRUPTED)
            run.interrupt.check()
            for each, plan in zip(lost, plans, strict=True):
                call = self._decided(run, item_of(each.call), plan)
                calls += [replace(call, opened=each.draft is not None)] if call is not None else []
        await self._together(run, calls)

    async def _abandon(self, run: Turn, by_tool: Mapping[Tool, Sequence[LostCall]]) -> None:
        """End in the sandbox what still runs of calls that nobody waits for: it would block later calls."""
        if run.container_id is None:
            return
        try:
            async with self._containers.use(run.container_id) as channel:
                for tool, lost in by_tool.items():
                    entry = entry_of(run.turn.tools, tool, {})
                    await tool.abandon(lost, entry.spec if entry is not None else {}, channel)
        except AgentKernelError as error:  # without its sandbox nothing runs
            log.info("The calls of %s could not be ended: %s", run.id, error, extra=run.about())

    async def _commands(self, run: Turn) -> frozenset[str]:
        """Return the names of the commands that the turn's sandbox still has."""
        if run.container_id is None:
            return frozenset()
        async with self._containers.use(run.container_id) as channel:
            return await channel.commands()

    def _decided(self, run: Turn, item: CallItem, rejoin: RejoinedCall | None = None) -> _Call | None:
        """Decide how to carry out a call; None if the client runs it or if it waits."""
        run.interrupt.check()
        tool = _tool_of(item.type)
        call = to_json(item)
        entry = entry_of(run.turn.tools, tool, call)
        if (refusal := run.assembler.rejection(call_key(item))) is not None:
            return _Call(tool, item, call, refusal, entry)
        if entry is None:
            return _Call(tool, item, call, f"Not run: the tool {tool.type} is not offered.")
        if entry.by_client:
            run.handed_over = True
            run.assembler.hand_over(item)
            return None
        if rejoin is not None and rejoin.begun:  # it was allowed when it began
            run.calls_made += 1
            return _Call(tool, item, call, None, entry, rejoin=rejoin)
        refusal = run.approvals.decide(run.id, tool, call, entry)
        if run.approvals.waits(call_key(item)):
            if not tool.one_item:  # such an item ends just before the request, see `_together`
                run.assembler.hand_over(item)
            return None
        return _Call(tool, item, call, refusal or _over_limit(run), entry, rejoin=rejoin)

    async def _in_order(self, run: Turn, calls: Sequence[_Call]) -> None:
        for call in calls:
            run.interrupt.check()
            await self._carry_out(run, call)

    async def _carry_out(self, run: Turn, call: _Call) -> None:
        """Emit the output item of one call, by running it or by refusing it."""
        call_id = call_key(call.item)
        if (held := run.assembler.held(call.item)) is not None:
            await run.record.hold(run, held.added())
        if not call.opened:
            await run.emit(run.assembler.open_output(call.item, runs=call.refusal is None))
        if call.refusal is None:
            await self._run(run, call)
            return
        if not call.opened:  # otherwise closing it reports what is missing
            for piece in call.tool.refuse(call.json, call.refusal):
                await run.emit(run.assembler.output(call_id, piece))
        await run.emit(run.assembler.close_output(call_id))

    async def _run(self, run: Turn, call: _Call) -> None:
        tool, call_id = call.tool, call_key(call.item)
        context = self._context(run, call)
        with ExitStack() as stack:
            stack.enter_context(run.interrupt.stoppable(self._settings.steer_grace))
            ended = stack.enter_context(run.trace.tool(tool.type, call_id, tool.arguments(call.json)))
            if not tool.audits_itself:
                arguments = tool.arguments_text(call.json)
                stack.enter_context(audited_call(context.audit, tool.type, arguments))
            await tool.run(call.json, context)
            events = run.assembler.close_output(call_id)
            output = to_json(run.assembler.finished(events))
            run.assembler.citations.search(tool.sources(output))
            ended(tool.outcomes(output), tool.result(tool.split(output)[1] if tool.one_item else output))
        self._metrics.count("calls_total", tool=tool.type)
        await run.emit(events)

    def _context(self, run: Turn, call: _Call) -> ToolContext:
        call_id, tool = call_key(call.item), call.tool
        who = {"container": run.container_id, "response": run.id, "call": call_id}

        async def emit(piece: Any) -> None:
            if events := run.assembler.output(call_id, piece):
                await run.emit(events)

        def audit(event: str, **fields: Any) -> None:
            self._containers.audit.write(event, **who, **fields)

        def count(name: str, **labels: str) -> None:
            self._metrics.count(name, 1, **labels)

        def tell(part: int, line: str) -> None:
            run.told.setdefault(call_id, {})[part] = line

        return ToolContext(
            emit=emit,
            tell=tell,
            cite=run.assembler.citations.show,
            sandbox=partial(self._sandbox, run, _running(run, call)),
            refusals=partial(self._containers.take_refusals, run.container_id),
            audit=audit,
            count=count,
            spec=call.entry.spec if call.entry is not None else {},
            limits=self._settings.tools.get(tool.type),
            tools=run.turn.tools,
            private=call.entry.private if call.entry is not None else None,
            servers=run.servers,
            name=_name(run, call.json),
            rejoin=call.rejoin.state if call.rejoin is not None else None,
            note=note_of(call.answer),
            earlier=run.conversation,
            approved=call.answer is not None and call.answer.approve,
            documents=self._documents,
            connect_refusal=partial(connect_refusal, run.approvals.policies, partial(self._network, run)),
        )

    async def _network(self, run: Turn) -> Mapping[str, Any] | None:
        return None if run.container_id is None else await self._containers.network_policy(run.container_id)

    @asynccontextmanager
    async def _sandbox(self, run: Turn, call: RunningCall) -> AsyncGenerator[Channel, None]:
        if run.container_id is None:
            raise RuntimeError("The turn has no container: a tool that needs one has in_sandbox.")
        async with (
            self._containers.use(run.container_id, to_run=True) as channel,
            self._containers.metering.running(run.container_id, run.id),
        ):
            with self._containers.calling(run.container_id, call):
                yield channel


async def _made_again(run: Turn, answer: Answer) -> CallItem:
    """Make the call that was asked about again, with a new item that will hold its output."""
    tool, call_id = answer.tool, ids.call_id()
    whole = tool.read_arguments(call_id, tool.arguments_text(answer.call))
    labels, name = tool.labels_again(answer.call, answer.request_id), tool.called_as(answer.call)
    events = [
        *run.assembler.feed(CallDelta(tool, call_id, "", name=name[1] if name else None, labels=labels)),
        *run.assembler.feed(whole),
        *run.assembler.end_step(),
    ]
    await run.emit(events)
    (item,) = run.assembler.calls()
    return item


async def _settled(run: Turn) -> None:
    """Wait until the ends of the calls' questions are shown: their items belong before the next step."""
    if run.questions is not None:
        await run.questions.settled()


def _running(run: Turn, call: _Call) -> RunningCall:
    """Return what the network's records and questions say about a call."""
    subject = call.tool.policy_subject(call.json)
    command = " ; ".join(subject) if subject else call.tool.arguments_text(call.json)
    own = () if run.turn.approval is None else (run.turn.approval,)
    return RunningCall(run.id, call_key(call.item), one_line(command), run.questions, own)


def _tool_of(call_type: str) -> Tool:
    tool = catalogue().of_call(call_type)
    assert tool is not None  # noqa: S101 (it made the item)
    return tool


def _name(run: Turn, call: Json) -> str:
    """Return the name of a call in the sandbox. Its `call_id` is the model's and may come again."""
    return f"{run.id}/{call.get('id')}"


def _lost(run: Turn, broken: BrokenCall) -> LostCall:
    assert isinstance(run.assembler, RestoredAssembler)  # noqa: S101 (only such a turn has calls to rejoin)
    draft = run.assembler.reopened(json_key(broken.call))
    return LostCall(broken.call, _name(run, broken.call), draft)


def _groups(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Sort calls into groups that may run at the same time; the calls of a group run in order."""
    groups: list[list[_Call]] = []
    for call in calls:
        same = [group for group in groups if group[0].tool is call.tool and not call.tool.parallel]
        if same:
            same[0].append(call)
        else:
            groups.append([call])
    return groups


def _over_limit(run: Turn) -> str | None:
    """Count a call that is about to run; return the refusal if the turn may make no more calls."""
    run.calls_made += 1
    if run.turn.max_tool_calls is not None and run.calls_made > run.turn.max_tool_calls:
        return "Not run: max_tool_calls is used up."
    if not run.meter.may_call(run.calls_made):
        return "Not run: the turn may make no more calls."
    return None
