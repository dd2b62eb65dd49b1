"""The models that run what the user's message says.

`agent_kernel/shell` and `agent_kernel/python` run what a person wrote, `agent_kernel/agent_shell` and
`agent_kernel/agent_python` what another program's agent did. `agent_kernel/screen` looks at the desktop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from json import dumps

from agent_kernel.errors import InvalidRequest, MalformedCall
from agent_kernel.models.base import ModelRequest
from agent_kernel.models.conversation import last_user_message
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import ModelDelta
from agent_kernel.tools.base import Tool
from agent_kernel.tools.computer.tool import COMPUTER
from agent_kernel.tools.shell.tool import SHELL


class DirectModel:
    """The model behind `!cmd` and `%%python`: front ends use it to run something through any runtime.

    It calls the tool once, with the last user message as the command, and adds no message. An empty message
    runs nothing. `argument` is the name of the tool's only argument; the shell takes a command as it is.
    `by_person`: a person wrote the command, so a policy that asks does not ask them again. False for the
    commands of somebody else's agent, which are judged as a model's are.
    """

    def __init__(self, tool: Tool = SHELL, argument: str | None = None, *, by_person: bool = True) -> None:
        self._tool = tool
        self._argument = argument
        self.by_person = by_person

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream the call, or nothing if it was made already; see `models.base.Model.stream`.

        Raises `InvalidRequest` for a message that the tool cannot run.
        """
        command, since = last_user_message(request.input)
        if command.strip() and not any(item.get("type") == self._tool.call_type for item in since):
            yield self._call(command)

    def _call(self, command: str) -> CallDone:
        if self._argument is None:
            return CallDone(self._tool, ids.call_id(), (command,))
        try:
            return self._tool.read_arguments(ids.call_id(), dumps({self._argument: command}))
        except MalformedCall as error:
            raise InvalidRequest(f"This cannot run: {error.why}.", param="input") from error

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


class ScreenModel(DirectModel):
    """The model behind `%screen`: it takes a screenshot of the container's desktop, whatever the message."""

    def __init__(self) -> None:
        super().__init__(COMPUTER)

    def _call(self, command: str) -> CallDone:
        return self._tool.read_arguments(ids.call_id(), dumps({"actions": [{"type": "screenshot"}]}))
