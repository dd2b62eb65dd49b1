"""What the panel looks at and acts on: the kernel's notebook, its running cell and its live view."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agent_kernel.kernel.panel.incoming import IncomingFiles

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook


@runtime_checkable
class AnswersInPanel(Protocol):
    """The live view of a running cell, as far as the panel shows it. Questions and answers are JSON."""

    @property
    def question(self) -> dict[str, Any] | None:
        """The question that waits for the user, as in the view's own state."""
        ...

    @property
    def doing(self) -> str:
        """What is being done before the model is asked; empty after that."""
        ...

    def decide(self, question: str, content: dict[str, Any]) -> str | None:
        """Answer the question as the view's card does. Return None, or why it was not taken."""
        ...


@dataclass(frozen=True)
class RunningCell:
    """The cell that runs: its id in the notebook, its number `In [number]`, and when it began."""

    id: str | None
    number: int
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return round(time.monotonic() - self.began, 1)


@dataclass(frozen=True)
class PanelSource:
    """Where the panel's answers come from. `stop` interrupts the running cell, as the live view's button."""

    notebook: Notebook
    stop: Callable[[], None]
    cell: Callable[[], RunningCell | None]
    view: Callable[[], object]
    incoming: IncomingFiles = field(default_factory=IncomingFiles)
