"""Questions about the sessions in containers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from agent_kernel.errors import NotFound
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.sessions import KeepsSession

PYTHON = "code_interpreter"
"""The tool whose session is asked."""

_AUDITED = ("end", "table")
"""The questions that change something: the session, or a file."""


class UsedContainers(Protocol):
    """The containers, as far as a question needs them."""

    audit: AuditLog

    def use(self, container_id: str, *, to_run: bool = False) -> AbstractAsyncContextManager[Channel]:
        """See `LocalContainers.use`."""
        ...


async def ask_session(
    containers: UsedContainers, container_id: str, question: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Ask the Python session of a container; see `runtime.sessions.AsksSessions`."""
    tool: object = catalogue().get(PYTHON)
    if not isinstance(tool, KeepsSession):
        raise NotFound(f"No tool {PYTHON} with a session is installed.")
    async with containers.use(container_id, to_run=True) as channel:
        answer = await tool.ask(question, channel)
    if question["ask"] in _AUDITED:
        containers.audit.write(
            "session", container=container_id, asked=question["ask"], name=question.get("name")
        )
    return answer
