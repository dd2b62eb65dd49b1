"""What the panel looks at and acts on: the kernel's notebook, its running cell and its live view."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.held.by_pages import HeldByPages
from agent_kernel.kernel.panel.held.incoming import IncomingFiles
from agent_kernel.kernel.panel.held.listing import KeptListing
from agent_kernel.kernel.panel.held.outgoing import MOST_OUTGOING, OutgoingFile
from agent_kernel.kernel.panel.held.terminal import MOST_TERMINALS, OpenTerminal
from agent_kernel.kernel.panel.preparation import KernelSetup, SandboxPreparation

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook

T = TypeVar("T")

BUSY = "A cell is running."
WHEN_IT_ENDS = "Try again when it has ended."


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
    """Where the panel's answers come from. `stop` interrupts the running cell, as the live view's button.

    `newest` returns the number of the newest cell, running or not. A running cell holds `lock`.
    """

    notebook: Notebook
    stop: Callable[[], None]
    cell: Callable[[], RunningCell | None]
    view: Callable[[], object]
    newest: Callable[[], int] = lambda: 0
    setup: KernelSetup | None = None
    preparation: SandboxPreparation = field(default_factory=SandboxPreparation)
    listings: KeptListing = field(default_factory=KeptListing)
    incoming: IncomingFiles = field(default_factory=IncomingFiles)
    outgoing: HeldByPages[OutgoingFile] = field(
        default_factory=lambda: HeldByPages("downloads", MOST_OUTGOING)
    )
    terminals: HeldByPages[OpenTerminal] = field(
        default_factory=lambda: HeldByPages("terminals", MOST_TERMINALS)
    )
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looks: set[asyncio.Task[Any]] = field(default_factory=set)

    def gone(self, page: str) -> None:
        """Give up what a page held that has gone."""
        for held in (self.incoming, self.outgoing, self.terminals):
            held.gone(page)

    def check_idle(self) -> None:
        """Raise `InvalidRequest` if a cell runs."""
        if self.cell() is not None:
            raise InvalidRequest(BUSY, hint=WHEN_IT_ENDS)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Let a cell that begins meanwhile wait. Raises `InvalidRequest` if one runs."""
        self.check_idle()
        async with self.lock:
            yield

    async def look(self, looking: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Look into the Python session while no cell runs. Raises what it raises.

        Raises `InvalidRequest` if a cell runs, or begins meanwhile: the cell need not wait for the answer.
        """
        self.check_idle()
        task = asyncio.get_running_loop().create_task(looking())
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():
            raise InvalidRequest(BUSY, hint=WHEN_IT_ENDS)
        return task.result()

    def cell_begins(self) -> None:
        """End what looks into the Python session: a cell begins."""
        for task in self._looks:
            task.cancel()
