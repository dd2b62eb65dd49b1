"""The drafts of shell calls and their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openai.types.responses import (
    ResponseShellCallCommandAddedEvent,
    ResponseShellCallCommandDeltaEvent,
    ResponseShellCallCommandDoneEvent,
    ResponseShellCallOutputContentDeltaEvent,
    ResponseShellCallOutputContentDoneEvent,
    response_shell_call_output_content_delta_event,
    response_shell_call_output_content_done_event,
)

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDraft, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, to_json
from agent_kernel.tools.shell import items as t
from agent_kernel.tools.shell.run import CommandOutput, CommandResult

INTERRUPTED = 130
"""Exit code of a command that was interrupted or never begun: the one that shells use for SIGINT."""


class ShellCallDraft(CallDraft):
    """The draft of a shell call. Its parts are the commands, its options their limits."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(t.CALL, "sh_")

    def item(self, status: ItemStatus) -> t.ResponseFunctionShellToolCall:
        container_id = self.start.container_id
        environment = (
            t.ResponseContainerReference(type="container_reference", container_id=container_id)
            if container_id is not None
            else None
        )
        return t.ResponseFunctionShellToolCall(
            id=self.id,
            type="shell_call",
            call_id=self.call_id,
            status=status,
            action=t.ShellAction(
                commands=self.texts(),
                timeout_ms=self.options.get("timeout_ms"),
                max_output_length=self.options.get("max_output_length"),
            ),
            environment=environment,
        )

    def part_added(self, part: int) -> Events:
        return [
            ResponseShellCallCommandAddedEvent(
                type="response.shell_call_command.added",
                output_index=self.index,
                command_index=part,
                command="",
                sequence_number=next(self.numbers),
            )
        ]

    def part_delta(self, part: int, text: str) -> Events:
        return [
            ResponseShellCallCommandDeltaEvent(
                type="response.shell_call_command.delta",
                output_index=self.index,
                command_index=part,
                delta=text,
                sequence_number=next(self.numbers),
            )
        ]

    def part_done(self, part: int, text: str) -> Events:
        return [
            ResponseShellCallCommandDoneEvent(
                type="response.shell_call_command.done",
                output_index=self.index,
                command_index=part,
                command=text,
                sequence_number=next(self.numbers),
            )
        ]


class ShellOutputDraft(OutputDraft):
    """The draft of a shell call's output: what each command printed, then its outcome."""

    added_as = "completed"  # as in the API, even before a command runs

    def __init__(self, index: int, numbers: Iterator[int], call: t.ResponseFunctionShellToolCall) -> None:
        super().__init__(index, numbers)
        self.id = ids.item_id(t.OUTPUT, "sho_")
        self.call = call
        self.partial: dict[int, tuple[list[str], list[str]]] = {}
        self.finished: dict[int, t.ShellOutputContent] = {}

    def item(self, status: ItemStatus) -> t.ResponseFunctionShellToolCallOutput:
        return t.ResponseFunctionShellToolCallOutput(
            id=self.id,
            type="shell_call_output",
            call_id=self.call.call_id,
            max_output_length=self.call.action.max_output_length,
            output=[self.finished[index] for index in sorted(self.finished)],
            status=status,
        )

    def restore(self, item: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        self.id = item["id"]
        for event in events:
            index = event["command_index"]
            if event["type"] == "response.shell_call_output_content.delta":
                out, err = self.partial.setdefault(index, ([], []))
                out.append(event["delta"].get("stdout", ""))
                err.append(event["delta"].get("stderr", ""))
            else:
                self.finished[index] = t.ShellOutputContent.construct(**event["output"][0])
                self.partial.pop(index, None)

    def streamed(self, command_index: int) -> tuple[str, str]:
        """Return the streamed stdout and stderr of a command that has not ended."""
        out, err = self.partial.get(command_index, ([], []))
        return "".join(out), "".join(err)

    def write(self, piece: CommandOutput | CommandResult) -> Events:
        """Return the events of a command's output or end. Commands may print at the same time.

        Raises `RuntimeError` for a second end of the same command.
        """
        if isinstance(piece, CommandResult):
            if piece.command_index in self.finished:
                raise RuntimeError(f"Command {piece.command_index} of {self.call.call_id} has ended already.")
            code = piece.exit_code
            content = t.shell_output(piece.stdout, piece.stderr, exit_code=code, log=piece.log)
            return self._command_done(piece.command_index, content)
        return self._printed(piece) if piece.stdout or piece.stderr else []

    def _printed(self, piece: CommandOutput) -> Events:
        out, err = self.partial.setdefault(piece.command_index, ([], []))
        out.append(piece.stdout)
        err.append(piece.stderr)
        pieces = {name: text for name, text in (("stdout", piece.stdout), ("stderr", piece.stderr)) if text}
        return [
            ResponseShellCallOutputContentDeltaEvent(
                type="response.shell_call_output_content.delta",
                item_id=self.id,
                output_index=self.index,
                command_index=piece.command_index,
                delta=response_shell_call_output_content_delta_event.Delta(**pieces),
                sequence_number=next(self.numbers),
            )
        ]

    def _command_done(self, command_index: int, content: t.ShellOutputContent) -> Events:
        self.finished[command_index] = content
        self.partial.pop(command_index, None)
        event_content = response_shell_call_output_content_done_event.Output.construct(**to_json(content))
        return [
            ResponseShellCallOutputContentDoneEvent(
                type="response.shell_call_output_content.done",
                item_id=self.id,
                output_index=self.index,
                command_index=command_index,
                output=[event_content],
                sequence_number=next(self.numbers),
            )
        ]

    def close_unfinished(self, why: str) -> Events:
        """Give every command without an outcome one: its output so far, and why there is no more."""
        events: Events = []
        for index in range(len(self.call.action.commands)):
            if index not in self.finished:
                out, err = self.partial.get(index, ([], []))
                note = "".join(err) + ("\n" if err and not err[-1].endswith("\n") else "") + why
                events += self._command_done(index, t.shell_output("".join(out), note, exit_code=INTERRUPTED))
        return events
