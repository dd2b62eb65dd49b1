"""The execution of shell calls, with audit log, metrics, and the note about an edited call."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.channel import Aftermath, Channel
from agent_kernel.tools.context import ToolContext, WriteAudit
from agent_kernel.tools.shell.run import (
    DEFAULT_LIMITS,
    CommandOutput,
    CommandResult,
    Rejoined,
    ShellLimits,
    run_shell_call,
)

log = logging.getLogger(__name__)


async def run_in(action: Mapping[str, Any], context: ToolContext) -> None:
    """Run a call's commands in the turn's container, and emit `CommandOutput` and `CommandResult`.

    Logs each command in the audit log before it begins and at its end. Raises as `run_shell_call` does.
    """
    limits = context.limits if isinstance(context.limits, ShellLimits) else DEFAULT_LIMITS
    commands: Sequence[str] = action["commands"]
    async with context.sandbox() as channel:
        pieces = run_shell_call(
            channel,
            commands,
            timeout_ms=action.get("timeout_ms"),
            max_output_length=action.get("max_output_length"),
            limits=limits,
            name=context.name,
            rejoin=context.rejoin,
            refusals=context.refusals,
        )
        began = time.monotonic()
        async with aclosing(audited(context.audit, pieces, commands, context.rejoin)) as source:
            async for piece in source:
                if isinstance(piece, CommandResult):
                    context.count("commands_total", outcome=_outcome(piece.exit_code))
                    if context.note and piece.command_index == len(commands) - 1:
                        piece = await _noted(piece, context)
                await context.emit(piece)
                if isinstance(piece, CommandResult):
                    if piece.exit_code != 0:
                        seconds = time.monotonic() - began if context.rejoin is None else None
                        await _tell_aftermath(channel, context, piece.command_index, seconds)
                    began = time.monotonic()


async def _tell_aftermath(channel: Channel, context: ToolContext, index: int, seconds: float | None) -> None:
    """Tell the model what a failed command left behind, so that it need not guess or look."""
    try:
        found = await channel.aftermath(WORKSPACE, seconds)
    except SandboxError as error:  # the result is complete without it
        log.info("The state after a failed command is not known: %s", error)
        return
    if found is not None:
        context.tell(index, aftermath_line(found, files_known=seconds is not None))


def aftermath_line(found: Aftermath, *, files_known: bool) -> str:
    """Return the aftermath as one line."""
    facts = [f"working directory: {found.directory}"]
    if files_known:
        facts.append(f"files changed: {_listed(found.changed, found.changes)}")
    facts.append(f"still running: {_listed(found.running, found.processes)}")
    return f"[{'; '.join(facts)}]"


def _listed(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f"{', '.join(names)}{more}" if names else "none"


async def _noted(piece: CommandResult, context: ToolContext) -> CommandResult:
    """Add the note to the end of the last command's stderr."""
    line = f"{context.note}\n"
    words = f"\n{line}" if piece.stderr and not piece.stderr.endswith("\n") else line
    await context.emit(CommandOutput(piece.command_index, stderr=words))
    return replace(piece, stderr=piece.stderr + words)


def _outcome(exit_code: int | None) -> str:
    if exit_code is None:
        return "timeout"
    return "success" if exit_code == 0 else "failure"


async def audited(
    write: WriteAudit,
    pieces: AsyncGenerator[CommandOutput | CommandResult, None],
    commands: Sequence[str],
    rejoin: Mapping[int, Rejoined] | None = None,
) -> AsyncGenerator[CommandOutput | CommandResult, None]:
    """Yield the pieces of a shell call, and log each command before it begins and at its end.

    Cancelling or closing it closes `pieces`, and logs the running command as cancelled. `rejoin` has the
    commands of a dead process that are resumed. One that had begun is not logged as begun again, and its
    seconds count from now.
    """
    left = iter(range(len(commands)) if rejoin is None else sorted(rejoin))
    index, began, running = next(left, len(commands)), 0.0, False

    def begin() -> None:
        nonlocal began, running
        if index < len(commands):
            began, running = time.monotonic(), True
            if rejoin is None or rejoin[index].how == "run":
                write("command", index=index, command=commands[index])

    def end(outcome: str, code: int | None = None) -> None:
        nonlocal running
        if running:
            running, seconds = False, time.monotonic() - began
            write("command.end", index=index, outcome=outcome, exit_code=code, seconds=seconds)

    begin()
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, CommandResult):
                    end("exited" if piece.exit_code is not None else "timed_out", piece.exit_code)
                yield piece
                if isinstance(piece, CommandResult):
                    index = next(left, len(commands))
                    begin()
    except Exception:
        end("lost")
        raise
    finally:
        end("cancelled")
