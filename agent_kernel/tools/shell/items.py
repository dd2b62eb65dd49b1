"""The item types of the shell tool, from the `openai` package, under shorter names."""

from __future__ import annotations

from typing import Any

from openai.types.responses import (
    ResponseContainerReference,
    ResponseFunctionShellToolCall,
    ResponseFunctionShellToolCallOutput,
)
from openai.types.responses.response_function_shell_tool_call import Action as ShellAction
from openai.types.responses.response_function_shell_tool_call_output import Output as ShellOutputContent
from openai.types.responses.response_function_shell_tool_call_output import OutputOutcomeExit as ExitOutcome
from openai.types.responses.response_function_shell_tool_call_output import (
    OutputOutcomeTimeout as TimeoutOutcome,
)

CALL = "shell_call"
OUTPUT = "shell_call_output"


def shell_output(
    stdout: str, stderr: str, *, exit_code: int | None, log: str | None = None
) -> ShellOutputContent:
    """Make the output of one command. `exit_code` None means that it timed out; `log` is its log's path."""
    outcome: ExitOutcome | TimeoutOutcome = (
        TimeoutOutcome(type="timeout") if exit_code is None else ExitOutcome(type="exit", exit_code=exit_code)
    )
    ours: Any = {"agent_kernel": {"log": log}} if log else {}
    return ShellOutputContent(stdout=stdout, stderr=stderr, outcome=outcome, **ours)


__all__ = [
    "CALL",
    "OUTPUT",
    "ExitOutcome",
    "ResponseContainerReference",
    "ResponseFunctionShellToolCall",
    "ResponseFunctionShellToolCallOutput",
    "ShellAction",
    "ShellOutputContent",
    "TimeoutOutcome",
    "shell_output",
]
