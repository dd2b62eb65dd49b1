"""The shell tool in the shape of a function, for models whose upstream does not know it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jiter

from agent_kernel.errors import MalformedModelOutput
from agent_kernel.models.base import Item
from agent_kernel.protocol.deltas import ShellCallDelta, ShellCallDone

_EXCERPT = 200  # characters of a malformed call
_LIVE = 64 * 1024  # characters of arguments up to which a call is shown while it is written

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


class LiveCall:
    """A call while the model writes its arguments: the commands are shown as far as they can be read.

    Each piece is read together with all before it, which is why that ends at some length; what `done` gives
    is the whole call in any case.
    """

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.arguments = ""
        self._shown: list[str] = []

    def write(self, piece: str) -> Iterator[ShellCallDelta]:
        """Add a piece of the JSON, and give what it adds to the commands."""
        self.arguments += piece
        if not piece or len(self.arguments) > _LIVE:
            return
        try:
            value = jiter.from_json(self.arguments.encode(), partial_mode="trailing-strings")
        except ValueError:  # no JSON, or not any more: `done` says so
            return
        commands = _commands(value)
        for index, command in enumerate(commands or ()):
            if index == len(self._shown):
                self._shown.append("")
                yield ShellCallDelta(self.call_id, index, command)
            elif len(command) > len(self._shown[index]):
                yield ShellCallDelta(self.call_id, index, command[len(self._shown[index]) :])
            self._shown[index] = command

    def done(self) -> ShellCallDone:
        """Read the whole. Raises `MalformedModelOutput`."""
        return parse_call(self.call_id, self.arguments)


def _commands(value: Any) -> list[str] | None:
    commands = value.get("commands") if isinstance(value, dict) else None
    commands = [commands] if isinstance(commands, str) else commands
    if isinstance(commands, list) and all(isinstance(command, str) for command in commands):
        return commands
    return None


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
    commands = _commands(value)
    if not commands:
        raise malformed("it needs a list of strings called commands", arguments)
    try:
        "".join(commands).encode()
    except UnicodeEncodeError:
        raise malformed("a command has characters that do not exist", arguments) from None
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
        hint="Send it again, or choose another model.",
    )
