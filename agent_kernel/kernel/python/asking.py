"""Ask the session of the notebook's container: for Tab, Shift-Tab, and magics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import CapabilityMissing, InvalidRequest, SandboxUnreachable
from agent_kernel.runtime.sessions import AsksSessions

if TYPE_CHECKING:
    from agent_kernel.kernel.python.base import SessionUser

Answer = Mapping[str, Any]

NONE = "There is no Python session yet, so there are no variables."
BEGIN = "A %%python cell begins one, and so does the agent when it runs Python."


async def ask(notebook: SessionUser, question: Mapping[str, Any]) -> Answer | None:
    """Return what the session answers, or None if there is none. Nothing is started.

    Raises what `AsksSessions.ask_session` raises.
    """
    runtime, container_id = notebook.opened, notebook.container.id
    if runtime is None or container_id is None:
        return None
    containers = runtime.containers
    if not isinstance(containers, AsksSessions):
        raise CapabilityMissing("This runtime does not show the Python sessions of its containers.")
    answer = await containers.ask_session(container_id, question)
    return None if answer.get("session") == "absent" else answer


async def looked(notebook: SessionUser, question: Mapping[str, Any]) -> Answer:
    """Return what the session answers to a magic. Raises `InvalidRequest` if there is none, and as `ask`.

    Raises `SandboxUnreachable` if the session is in use, or takes too long.
    """
    answer = await ask(notebook, question)
    if answer is None:
        raise InvalidRequest(NONE, hint=BEGIN)
    return checked(answer)


def checked(answer: Answer) -> Answer:
    """Return the answer of a session that answered. Raises `SandboxUnreachable` as `looked`."""
    if answer["session"] == "busy":
        raise SandboxUnreachable(
            "The Python session is running something, perhaps for another client.", hint="Try again."
        )
    if answer["session"] == "slow" or "failed" in answer:
        why = f" ({answer['failed']})" if answer.get("failed") else ""
        raise SandboxUnreachable(
            f"The Python session did not answer{why}.", hint="%python restart begins a new one."
        )
    return answer
