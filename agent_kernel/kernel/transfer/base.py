"""The interface of a notebook that uploads and downloads use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent_kernel.kernel.container import NotebookContainer
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.transfer.uploaded import Uploaded
    from agent_kernel.runtime.base import Runtime


class FileSharer(Protocol):
    """A notebook with a container and upload limits."""

    container: NotebookContainer
    settings: KernelSettings
    uploaded: Uploaded

    async def runtime(self) -> Runtime:
        """Return the runtime, opened at the first call."""
        ...

    def tell_model(self, note: str) -> None:
        """Add a developer message to the beginning of the next turn."""
        ...
