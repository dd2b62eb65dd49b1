"""How turns and commands ended early, in the reader's words. Pure."""

from __future__ import annotations

import re

from agent_kernel.kernel.render.text import code

STEERED = "steered"
"""`incomplete_details.reason` of a response that a steering message ended; its successor follows."""

_ENDINGS = {
    "agent_kernel.cancelled": "This turn was stopped here. Work done so far is kept.",
    "agent_kernel.interrupted": "The server ended here, in the middle of the turn.",
    "agent_kernel.server_stopped": "The server was stopped here, in the middle of the turn.",
    "agent_kernel.max_tokens": "This turn ended here: its limit of tokens was reached.",
    "agent_kernel.max_tool_calls": "This turn ended here: its limit of tool calls was reached.",
    "agent_kernel.max_seconds": "This turn ended here: its time limit was reached.",
    "agent_kernel.max_steps": "This turn ended here: its limit of model calls was reached.",
    "agent_kernel.max_step_tokens": "The answer was cut off here: it was too long.",
    "agent_kernel.rejected_calls": "The turn ended: the model made only calls that cannot be carried out.",
    "max_output_tokens": "The answer was cut off here: it reached its limit of tokens.",
    "content_filter": "The answer was cut off here by the model's content filter.",
    STEERED: "This answer ended here, because you said something.",
    "cancelled": "This turn was stopped here.",
    "in_progress": "This turn is still running.",
}

_STOPPED = re.compile(
    r"(?:^|\n)The command (?:was stopped or not begun(?: \((?P<reason>[^()\n]*)\)|: [a-z ]+)"
    r"|did not run to its end)\.\Z"
)
"""The sentence that the runtime puts below the output of a command that it stopped, or never began."""

_INTERRUPTED = 130
"""The exit code of such a command."""


def turn_ending(reason: str | None) -> str:
    """Return a sentence in Markdown for `incomplete_details.reason`, which may be any text."""
    if not reason:
        return "The answer was cut off here. The server gave no reason."
    return _ENDINGS.get(reason) or f"The answer was cut off here ({code(reason)})."


def stopped(stderr: str, exit_code: object) -> tuple[str, str] | None:
    """Return a stopped command's stderr without the runtime's sentence, and what to say instead.

    None for any other command. Only an incomplete output may be asked about: a command can print the same.
    """
    return until_stop(stderr) if exit_code == _INTERRUPTED else None


def until_stop(printed: str) -> tuple[str, str] | None:
    """As `stopped`, for what code printed, which has no exit code."""
    found = _STOPPED.search(printed)
    if found is None:
        return None
    why = ", because you said something" if found["reason"] == STEERED else ""
    return printed[: found.start()], f"stopped{why}"
