"""Carries out the tool calls of a turn. Each call is one coroutine that emits its output as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from openai.types.responses import ResponseFunctionShellToolCall

from agent_kernel.protocol.items import shell_output
from agent_kernel.runtime.approvals.approvals import NOT_RUN, told
from agent_kernel.runtime.approvals.items import Answer
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.observe.audit import audited
from agent_kernel.runtime.observe.metrics import Metrics
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.tools.shell import CommandOutput, CommandResult, run_shell_call


class ToolCalls:
    """Carries out the calls of turns."""

    def __init__(self, containers: LocalContainers, settings: TurnSettings, metrics: Metrics) -> None:
        self._containers = containers
        self._settings = settings
        self._metrics = metrics

    async def answered(self, run: Turn) -> None:
        """Run the calls of the turn before that waited for the approvals in this turn's input."""
        for answer in run.approvals.answers:
            assert run.container_id is not None  # noqa: S101 (else the answer would have been refused)
            run.interrupt.check()
            refusal = run.approvals.refusal(answer, run.container_id)
            await self._carry_out(run, answer.call, run.container_id, refusal, answer)

    async def all(self, run: Turn, calls: Sequence[ResponseFunctionShellToolCall]) -> None:
        """Run the calls of one step in order, except those that the client runs or a person must approve.

        Raises `Stopped`, and what ends the sandbox.
        """
        for call in calls:
            if run.container_id is None:
                run.assembler.hand_over(call)
                continue
            run.interrupt.check()
            refusal = run.approvals.decide(run.id, call)
            if run.approvals.waits(call):
                run.assembler.hand_over(call)
                continue
            await self._carry_out(run, call, run.container_id, refusal)
        for _, item in run.approvals.waiting:
            await run.emit(run.assembler.insert(item))

    async def _carry_out(
        self,
        run: Turn,
        call: ResponseFunctionShellToolCall,
        container_id: str,
        refusal: str | None,
        answer: Answer | None = None,
    ) -> None:
        """Emit the output item of one call. With a `refusal` nothing runs, and the output is the refusal."""
        await run.emit(run.assembler.open_output(call))
        refusal = refusal or _over_limit(run)
        if refusal is None:
            await self._run(run, call, container_id, answer)
        else:
            for index in range(len(call.action.commands)):
                content = shell_output("", refusal, exit_code=NOT_RUN)
                await run.emit(run.assembler.command_done(call.call_id, index, content))
        await run.emit(run.assembler.close_output(call.call_id))

    async def _run(
        self, run: Turn, call: ResponseFunctionShellToolCall, container_id: str, answer: Answer | None
    ) -> None:
        """Run the call's commands in the container, and emit what they print as it is printed."""
        action = call.action
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
                call=call.call_id,
            )
            traced = run.trace.tool(call, told(answer, pieces))
            with run.interrupt.stoppable(self._settings.steer_grace):
                async with aclosing(traced) as source:
                    async for piece in source:
                        await self._take(run, call.call_id, piece)

    async def _take(self, run: Turn, call_id: str, piece: CommandOutput | CommandResult) -> None:
        index = piece.command_index
        if isinstance(piece, CommandOutput):
            events = run.assembler.output(call_id, index, stdout=piece.stdout, stderr=piece.stderr)
        else:
            self._metrics.count("commands_total", outcome=_outcome(piece.exit_code))
            content = shell_output(piece.stdout, piece.stderr, exit_code=piece.exit_code)
            events = run.assembler.command_done(call_id, index, content)
        await run.emit(events)


def _over_limit(run: Turn) -> str | None:
    """Count a call that is about to run; return the refusal if the turn may make no more calls."""
    run.calls_made += 1
    if run.turn.max_tool_calls is not None and run.calls_made > run.turn.max_tool_calls:
        return "Not run: max_tool_calls is used up."
    if not run.meter.may_call(run.calls_made):
        return "Not run: the turn may make no more calls."
    return None


def _outcome(exit_code: int | None) -> str:
    if exit_code is None:
        return "timeout"
    return "success" if exit_code == 0 else "failure"
