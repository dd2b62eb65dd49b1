"""The model `agent_kernel/shell`, which runs the user's message as a shell command."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from agent_kernel.models.base import ModelRequest
from agent_kernel.models.conversation import last_user_message
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import ModelDelta
from agent_kernel.tools.shell.tool import SHELL


class DirectModel:
    """The model behind `!cmd`: front ends use it to run a command through any runtime.

    It calls the shell once, with the last user message as the command, and adds no message. An empty message
    runs nothing.
    """

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream the call, or nothing if it was made already; see `models.base.Model.stream`."""
        command, since = last_user_message(request.input)
        if command.strip() and not any(item.get("type") == SHELL.call_type for item in since):
            yield CallDone(SHELL, ids.call_id(), (command,))

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
