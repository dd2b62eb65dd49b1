"""What uploads and downloads need of a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent_kernel.kernel.container import NotebookContainer
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.transfer.uploaded import Uploaded
    from agent_kernel.runtime.base import Runtime


class FileSharer(Protocol):
    """Has a container and the limits of what may be sent to it."""

    container: NotebookContainer
    settings: KernelSettings
    uploaded: Uploaded

    async def runtime(self) -> Runtime:
        """Return the runtime, opened at the first call."""
        ...

    def tell_model(self, note: str) -> None:
        """Begin the next turn with a developer message that says this."""
        ...
