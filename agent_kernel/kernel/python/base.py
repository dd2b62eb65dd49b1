"""The interface of a notebook that the Python session's magics use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from agent_kernel.kernel.transfer.base import FileSharer

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.base import Runtime


class SessionUser(FileSharer, Protocol):
    """A notebook with a container and its Python session."""

    @property
    def opened(self) -> Runtime | None:
        """The runtime, or None if no cell has needed it yet."""
        ...

    async def python(self, code: str, outputs: CellOutputs) -> None:
        """Run code in the session, as a turn of the conversation."""
        ...
