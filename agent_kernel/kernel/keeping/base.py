"""What a kept session needs of its notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from agent_kernel.kernel.asking.approvals import NotebookApprovals
    from agent_kernel.kernel.branches.branches import Branches
    from agent_kernel.kernel.branches.tree import Position
    from agent_kernel.kernel.container import NotebookContainer
    from agent_kernel.kernel.ledger import Ledger
    from agent_kernel.kernel.offers.skills import NotebookSkills
    from agent_kernel.kernel.preferences import Choices
    from agent_kernel.kernel.recording.recording import NotebookRecording
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.transfer.documents import NotebookDocuments
    from agent_kernel.kernel.transfer.uploaded import Uploaded
    from agent_kernel.runtime.base import Runtime


class KeptNotebook(Protocol):
    """The conversation of a notebook, and what belongs to it; see `kernel.notebook.Notebook`."""

    settings: KernelSettings
    approvals: NotebookApprovals
    choices: Choices
    uploaded: Uploaded
    skills: NotebookSkills
    documents: NotebookDocuments
    ledger: Ledger
    container: NotebookContainer
    branches: Branches
    recording: NotebookRecording
    file: Path | None
    notes: list[str]
    """What the model is still to be told."""

    @property
    def opened(self) -> Runtime | None:
        """The runtime, or None if nothing has needed it yet."""
        ...

    @property
    def previous_id(self) -> str | None:
        """The response that the next turn continues."""
        ...

    async def runtime(self) -> Runtime:
        """Return the runtime, opened at the first call."""
        ...

    async def position(self) -> Position:
        """Return where the conversation stands."""
        ...

    def move_to(self, position: Position) -> None:
        """Continue the conversation from there."""
        ...

    def tell_model(self, note: str) -> None:
        """Add a developer message to the beginning of the next turn."""
        ...
