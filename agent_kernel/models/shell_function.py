"""The shell tool in the shape of a function, for models whose upstream does not know it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.errors import MalformedModelOutput
from agent_kernel.models.base import Item
from agent_kernel.protocol.deltas import ShellCallDone

_EXCERPT = 200  # characters of a malformed call

DESCRIPTION = (
    "Run shell commands in this conversation's container, one after the other, in a bash that stays "
    "alive: variables, functions and the working directory are kept from call to call. The working "
    "directory is /mnt/data at first; files the user should get belong there. There is no terminal and "
    "no network unless the user says otherwise. Returns stdout, stderr and the outcome of each command."
)

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "commands": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The commands, each a line or a script for bash.",
        },
        "timeout_ms": {
            "type": "integer",
            "description": "Stop each command after this many milliseconds.",
        },
        "max_output_length": {
            "type": "integer",
            "description": "Return at most this many characters of each command's output.",
        },
    },
    "required": ["commands"],
    "additionalProperties": False,
}


def function_name(functions: Sequence[Mapping[str, Any]]) -> str:
    """Choose a name for it that none of the client's own functions has: `shell` where that is free."""
    taken = {function.get("name") for function in functions}
    return "shell" if "shell" not in taken else "agent_kernel_shell"


def arguments_of(call: Item) -> str:
    """Write a `shell_call` item's action as the function's JSON arguments."""
    action = call.get("action") or {}
    names = ("commands", "timeout_ms", "max_output_length")
    return json.dumps({name: action[name] for name in names if action.get(name) is not None})


def result_of(output: Item) -> str:
    """Write a `shell_call_output` item's content as the function's result."""
    contents = output.get("output") or []
    names = ("stdout", "stderr", "outcome")
    return json.dumps([{name: c.get(name) for name in names} for c in contents], ensure_ascii=False)


def parse_call(call_id: str, arguments: str) -> ShellCallDone:
    """Read the function's arguments as the model wrote them.

    One string in place of the list of commands is taken for a list of one. Raises `MalformedModelOutput`,
    with an excerpt, for anything else that is not of the shape.
    """
    try:
        value = json.loads(arguments)
    except ValueError:
        raise malformed("its arguments are not JSON", arguments) from None
    if not isinstance(value, dict):
        raise malformed("its arguments are not an object", arguments)
    commands = value.get("commands")
    commands = [commands] if isinstance(commands, str) else commands
    if not isinstance(commands, list) or not commands or not all(isinstance(c, str) for c in commands):
        raise malformed("it needs a list of strings called commands", arguments)
    return ShellCallDone(
        call_id,
        tuple(commands),
        timeout_ms=_whole(value, "timeout_ms", arguments),
        max_output_length=_whole(value, "max_output_length", arguments),
    )


def _whole(value: Mapping[str, Any], name: str, arguments: str) -> int | None:
    number = value.get(name)
    if number is None:
        return None
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    if not whole or isinstance(number, bool) or number <= 0:
        raise malformed(f"{name} must be a whole number above 0", arguments)
    return int(number)


def malformed(why: str, arguments: str) -> MalformedModelOutput:
    """Make the error for a call that cannot be carried out."""
    excerpt = arguments if len(arguments) <= _EXCERPT else arguments[:_EXCERPT] + "…"
    return MalformedModelOutput(
        f"The model called the shell in a way that cannot be carried out: {why}. It said: {excerpt}",
        mend="Run the cell again, or choose another model.",
    )
