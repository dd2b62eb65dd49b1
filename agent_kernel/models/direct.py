"""No model at all: what the user says is one shell command."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from agent_kernel.models.base import ModelRequest
from agent_kernel.models.conversation import last_user_message
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDone
from agent_kernel.protocol.deltas import ModelDelta
from agent_kernel.tools.shell.tool import SHELL


class DirectModel:
    """The model `agent_kernel/shell`, by which a front end runs `!cmd` through any runtime of ours.

    The last user message is run as one call, and nothing is said afterwards; an empty one runs nothing.
    """

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        """Stream the call, or nothing if it has been made; see `models.base.Model.stream`."""
        command, since = last_user_message(request.input)
        if command.strip() and not any(item.get("type") == SHELL.call_type for item in since):
            yield CallDone(SHELL, ids.call_id(), (command,))

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
