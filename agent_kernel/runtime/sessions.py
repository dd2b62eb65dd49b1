"""The contract for the sessions of interpreters in containers: part of the contract of a runtime.

A session belongs to a tool, such as `code_interpreter`, and lives in a container. Cells run in it as calls of
that tool: the model `agent_kernel/python` runs the user's message as one. What is here only looks at it, and
is no part of any conversation. docs/api.md lists the questions (`complete`, `inspect`, `variables`, `table`,
`end`) and their answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class AsksSessions(Protocol):
    """Optional for `Containers`."""

    async def ask_session(self, container_id: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the Python session of a container. All but `session` is the sandbox's claim, of bounded size.

        Raises `InvalidRequest` for a malformed question, and as `ContainerFiles` does; `NotFound` also where
        the server does not offer this. Cancelling interrupts the answer.
        """
        ...
