"""Tool calls and their outputs while they are being written; see `drafts`."""

from __future__ import annotations

from collections.abc import Iterator

from openai.types.responses import (
    response_shell_call_output_content_delta_event,
    response_shell_call_output_content_done_event,
)

from agent_kernel.protocol import ids
from agent_kernel.protocol import items as t
from agent_kernel.protocol.deltas import FunctionCallDelta, ShellCallDelta, ShellCallDone
from agent_kernel.protocol.drafts import Draft, Events
from agent_kernel.protocol.malformed import agrees, malformed


class FunctionCallDraft(Draft):
    """A call to a function tool of the client's."""

    def __init__(self, index: int, numbers: Iterator[int], call_id: str, name: str) -> None:
        super().__init__(index, numbers)
        self.id = ids.function_call_id()
        self.call_id = call_id
        self.name = name
        self.arguments: list[str] = []

    def item(self, status: t.ItemStatus) -> t.ResponseFunctionToolCall:
        """Return the item as it stands now."""
        return t.ResponseFunctionToolCall(
            id=self.id,
            type="function_call",
            call_id=self.call_id,
            name=self.name,
            arguments="".join(self.arguments),
            status=status,
        )

    def write(self, arguments: str) -> Events:
        """Add a piece of the JSON arguments."""
        self.arguments.append(arguments)
        return [
            t.ResponseFunctionCallArgumentsDeltaEvent(
                type="response.function_call_arguments.delta",
                item_id=self.id,
                output_index=self.index,
                delta=arguments,
                sequence_number=next(self.numbers),
            )
        ]

    def close_parts(self) -> Events:
        """End the open part."""
        # By `construct`: the API's event has the name too, which the package's type does not list.
        return [
            t.ResponseFunctionCallArgumentsDoneEvent.construct(
                type="response.function_call_arguments.done",
                item_id=self.id,
                output_index=self.index,
                name=self.name,
                arguments="".join(self.arguments),
                sequence_number=next(self.numbers),
            )
        ]


class ShellCallDraft(Draft):
    """A shell call: one or more commands, and the limits they run under."""

    def __init__(self, index: int, numbers: Iterator[int], call_id: str, container_id: str | None) -> None:
        super().__init__(index, numbers)
        self.id = ids.shell_call_id()
        self.call_id = call_id
        self.container_id = container_id
        self.commands: list[list[str]] = []
        self.open = False
        self.timeout_ms: int | None = None
        self.max_output_length: int | None = None

    def item(self, status: t.ItemStatus) -> t.ResponseFunctionShellToolCall:
        """Return the item as it stands now."""
        environment = (
            t.ResponseContainerReference(type="container_reference", container_id=self.container_id)
            if self.container_id is not None
            else None
        )
        return t.ResponseFunctionShellToolCall(
            id=self.id,
            type="shell_call",
            call_id=self.call_id,
            status=status,
            action=t.ShellAction(
                commands=self.texts(),
                timeout_ms=self.timeout_ms,
                max_output_length=self.max_output_length,
            ),
            environment=environment,
        )

    def complete(self, whole: ShellCallDone) -> Events:
        """Take the whole call: the rest of the command that was streamed last, and those that were not."""
        events: Events = []
        known = self.texts()
        if known:
            events += self.write(len(known) - 1, whole.commands[len(known) - 1][len(known[-1]) :])
        for index in range(len(known), len(whole.commands)):
            events += self.write(index, whole.commands[index])
        self.timeout_ms, self.max_output_length = whole.timeout_ms, whole.max_output_length
        return events

    def texts(self) -> list[str]:
        """List the commands as far as they are known."""
        return ["".join(pieces) for pieces in self.commands]

    def write(self, command_index: int, text: str) -> Events:
        """Add to the open command, or begin the next one."""
        events: Events = []
        if command_index == len(self.commands):
            events += self.close_parts()
            self.open = True
            self.commands.append([])
            events.append(
                t.ResponseShellCallCommandAddedEvent(
                    type="response.shell_call_command.added",
                    output_index=self.index,
                    command_index=command_index,
                    command="",
                    sequence_number=next(self.numbers),
                )
            )
        if text:
            self.commands[-1].append(text)
            events.append(
                t.ResponseShellCallCommandDeltaEvent(
                    type="response.shell_call_command.delta",
                    output_index=self.index,
                    command_index=command_index,
                    delta=text,
                    sequence_number=next(self.numbers),
                )
            )
        return events

    def close_parts(self) -> Events:
        """End the open part."""
        if not self.open:
            return []
        self.open = False
        return [
            t.ResponseShellCallCommandDoneEvent(
                type="response.shell_call_command.done",
                output_index=self.index,
                command_index=len(self.commands) - 1,
                command="".join(self.commands[-1]),
                sequence_number=next(self.numbers),
            )
        ]


class ShellOutputDraft(Draft):
    """The output of a shell call: per command what it printed, then its outcome."""

    def __init__(self, index: int, numbers: Iterator[int], call: t.ResponseFunctionShellToolCall) -> None:
        super().__init__(index, numbers)
        self.id = ids.shell_output_id()
        self.call = call
        self.partial: dict[int, tuple[list[str], list[str]]] = {}
        self.finished: dict[int, t.ShellOutputContent] = {}

    def item(self, status: t.ItemStatus) -> t.ResponseFunctionShellToolCallOutput:
        """Return the item as it stands now."""
        return t.ResponseFunctionShellToolCallOutput(
            id=self.id,
            type="shell_call_output",
            call_id=self.call.call_id,
            max_output_length=self.call.action.max_output_length,
            output=[self.finished[index] for index in sorted(self.finished)],
            status=status,
        )

    def write(self, command_index: int, stdout: str, stderr: str) -> Events:
        """Add what a command printed; commands may print at the same time."""
        out, err = self.partial.setdefault(command_index, ([], []))
        out.append(stdout)
        err.append(stderr)
        pieces = {name: text for name, text in (("stdout", stdout), ("stderr", stderr)) if text}
        return [
            t.ResponseShellCallOutputContentDeltaEvent(
                type="response.shell_call_output_content.delta",
                item_id=self.id,
                output_index=self.index,
                command_index=command_index,
                delta=response_shell_call_output_content_delta_event.Delta(**pieces),
                sequence_number=next(self.numbers),
            )
        ]

    def command_done(self, command_index: int, content: t.ShellOutputContent) -> Events:
        """End one command with its final content."""
        self.finished[command_index] = content
        self.partial.pop(command_index, None)
        event_content = response_shell_call_output_content_done_event.Output.construct(**t.to_json(content))
        return [
            t.ResponseShellCallOutputContentDoneEvent(
                type="response.shell_call_output_content.done",
                item_id=self.id,
                output_index=self.index,
                command_index=command_index,
                output=[event_content],
                sequence_number=next(self.numbers),
            )
        ]

    def close_unfinished(self, why: str) -> Events:
        """Give every command without an outcome one: what it printed so far, and why there is no more."""
        events: Events = []
        for index in range(len(self.call.action.commands)):
            if index not in self.finished:
                out, err = self.partial.get(index, ([], []))
                note = "".join(err) + ("\n" if err and not err[-1].endswith("\n") else "") + why
                content = t.shell_output("".join(out), note, exit_code=UNFINISHED)
                events += self.command_done(index, content)
        return events

    def close_parts(self) -> Events:
        """End the open part."""
        return []


UNFINISHED = 130
"""The exit code of a command that was interrupted or never begun: the shell's own for SIGINT."""


def check_call(
    delta: ShellCallDelta | ShellCallDone | FunctionCallDelta,
    draft: ShellCallDraft | FunctionCallDraft | None,
) -> None:
    """Raise `MalformedModelOutput` for a piece that the call, open as `draft`, cannot have."""
    if draft is not None and isinstance(draft, FunctionCallDraft) != isinstance(delta, FunctionCallDelta):
        malformed(delta.call_id, "it is a shell call and a function call at once")
    known = draft.texts() if isinstance(draft, ShellCallDraft) else []
    if isinstance(delta, ShellCallDelta):
        if delta.command_index not in (len(known) - 1, len(known)) or delta.command_index < 0:
            malformed(delta.call_id, f"command {delta.command_index} comes out of order")
    elif isinstance(delta, ShellCallDone):
        if not delta.commands:
            malformed(delta.call_id, "it has no command")
        if not agrees(known, delta.commands):
            malformed(delta.call_id, "its commands are not those that were streamed")
