"""The preparation of the sandbox that a page asked for, and what it needs of the operator's command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from agent_kernel.errors import PreparationFailed

CANCELLED = "The preparation was cancelled. Nothing partial is left."


class KernelSetup(Protocol):
    """What the operator's command knows of this machine and the kernel's settings."""

    async def examine(self, *, quick: bool) -> Sequence[Mapping[str, Any]]:
        """Return the findings of `agent-kernel doctor` as JSON.

        `quick` starts no sandbox with packages, and asks no server.
        """
        ...

    async def prepare(self, progress: Callable[[str], None]) -> None:
        """Prepare the sandbox, for minutes. A cancelled preparation ends after its present step.

        Raises `ConfigurationError`, `EngineUnavailable`, `PreparationFailed`.
        """
        ...

    async def example(self) -> Mapping[str, Any]:
        """Return an example: `name`, `notebook` (JSON), and `files`, each with `path` and `text`."""
        ...


class SandboxPreparation:
    """The preparation that runs, shared by all pages. Use it from one event loop."""

    def __init__(self) -> None:
        self.watch: Callable[[], None] = lambda: None
        self._step: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def step(self) -> str | None:
        """What is done now; None if nothing is prepared."""
        return self._step if self._task is not None else None

    async def run(self, setup: KernelSetup) -> None:
        """Prepare the sandbox, or wait for the preparation that runs. Cancelling a caller does not stop it.

        Raises what `KernelSetup.prepare` raises, and `PreparationFailed` if it was cancelled by `cancel`.
        """
        if self._task is None:
            self._step = ""
            self._task = asyncio.get_running_loop().create_task(setup.prepare(self._at))
            self._task.add_done_callback(self._ended)
            self.watch()
        task = self._task
        await asyncio.wait({task})
        if task.cancelled():
            raise PreparationFailed(CANCELLED)
        task.result()

    def cancel(self) -> None:
        """End the preparation; nothing happens if none runs."""
        if self._task is not None:
            self._task.cancel()

    def _at(self, step: str) -> None:
        from agent_kernel.kernel.render.text import clean

        self._step = clean(step)
        self.watch()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # raised to those who wait, who may have gone
        self.watch()
