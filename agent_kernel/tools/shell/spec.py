"""The shell tool as a function, for upstreams without native support for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.live import LiveCall, malformed_call

if TYPE_CHECKING:
    from agent_kernel.tools.base import Tool

LIMITS = ("timeout_ms", "max_output_length")
"""The options of a call."""

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


class LiveShellCall(LiveCall):
    """A shell call in progress: streams the commands as far as they can be parsed."""

    def __init__(self, tool: Tool, call_id: str) -> None:
        super().__init__(tool, call_id)
        self._shown: list[str] = []

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON and yield what it adds to the commands."""
        value = self.begun(piece)
        commands = _commands(value) if not _may_be_list(value) else None
        for index, command in enumerate(commands or ()):
            if index == len(self._shown):
                self._shown.append("")
                yield CallDelta(self.tool, self.call_id, command, part=index)
            elif len(command) > len(self._shown[index]):
                yield CallDelta(self.tool, self.call_id, command[len(self._shown[index]) :], part=index)
            self._shown[index] = command


def _commands(value: Any) -> list[str] | None:
    if not isinstance(value, dict):
        return None
    if "commands" not in value:
        command = value.get("command")
        # A list here holds the arguments of one program, as other shell tools take them.
        return [command] if isinstance(command, str) and _listed(command) is None else None
    commands = value["commands"]
    if isinstance(commands, str):
        return _listed(commands) or [commands]
    return commands if _is_list(commands) else None


def _is_list(commands: Any) -> TypeGuard[list[str]]:
    return isinstance(commands, list) and all(isinstance(command, str) for command in commands)


def _listed(text: str) -> list[str] | None:
    """Return the strings of a JSON list; None for any other text, which most commands are."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if _is_list(value) and value else None


def _may_be_list(value: Any) -> bool:
    """Return whether the text of the only command, while it is written, may become a list in JSON."""
    written = value.get("commands", value.get("command")) if isinstance(value, dict) else None
    return isinstance(written, str) and written.lstrip()[:1] in ("", "[")


def parse_call(tool: Tool, call_id: str, arguments: str) -> CallDone:
    """Read the function's arguments as the model wrote them.

    Accepts a string instead of the list of commands, also one that is the list in JSON, and `command` with a
    string. Raises `MalformedCall` for
    any other deviation from the schema.
    """
    try:
        value = read_object(arguments)
    except UnreadableArguments as error:
        raise malformed_call("shell", str(error), arguments) from None
    commands = _commands(value)
    if not commands or ("command" in value and "commands" in value):
        raise malformed_call("shell", "it needs a list of strings called commands", arguments)
    if elsewhere := sorted(_ELSEWHERE & set(value)):
        why = f"it has no argument {elsewhere[0]}; put that into the command, as in `cd FOLDER && ...`"
        raise malformed_call("shell", why, arguments)
    try:
        "".join(commands).encode()
    except UnicodeEncodeError:
        why = "a command has characters that UTF-8 cannot encode"
        raise malformed_call("shell", why, arguments) from None
    options = {name: _whole(value, name, arguments) for name in LIMITS}
    return CallDone(tool, call_id, tuple(commands), options)


_ELSEWHERE = {"cwd", "workdir", "working_directory", "env", "stdin"}
"""Arguments of other shell tools. A command that needs one does something else without it."""


def _whole(value: Mapping[str, Any], name: str, arguments: str) -> int | None:
    number = value.get(name)
    if number is None:
        return None
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    if not whole or isinstance(number, bool) or number <= 0:
        raise malformed_call("shell", f"{name} must be a whole number above 0", arguments)
    return int(number)
