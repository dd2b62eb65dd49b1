"""What the kernel tells the first-run page of this machine: `doctor`, `image build`, and an example."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent_kernel.config import Settings
from agent_kernel.errors import AgentKernelError, ConfigurationError

log = logging.getLogger(__name__)


class PreparationStopped(AgentKernelError):
    """The user cancelled the preparation."""


class Setup:
    """Examines and prepares what these settings ask for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def examine(self, *, quick: bool) -> Sequence[Mapping[str, Any]]:
        """Return the findings of `doctor`."""
        from agent_kernel.cli import doctor

        return [asdict(finding) for finding in await doctor.examine(self._settings, quick=quick)]

    async def prepare(self, progress: Callable[[str], None]) -> None:
        """Prepare the chosen sandbox. A thread cannot be stopped: its next step ends it, and it cleans up."""
        from agent_kernel.cli import compose

        prepare = compose.preparation(self._settings)
        if prepare is None or self._settings.runtime.runtime_url:
            raise ConfigurationError(
                "The sandbox of this kernel is prepared by whoever runs it.",
                hint="Ask your administrator, or see: agent-kernel image build --help",
            )
        backend, _ = await compose.choose_backend(self._settings)
        await backend.aclose()
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def at(step: str) -> None:
            if stopped.is_set():
                raise PreparationStopped("The preparation was cancelled.")
            loop.call_soon_threadsafe(progress, step)

        work = asyncio.ensure_future(asyncio.to_thread(prepare, backend.name, at))
        work.add_done_callback(_logged)
        try:
            await asyncio.shield(work)
        finally:
            stopped.set()

    async def example(self) -> Mapping[str, Any]:
        """Return the first example notebook without outputs, and its data."""
        return await asyncio.to_thread(_example)


def _logged(work: asyncio.Future[None]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        log.info("The preparation ended: %s", error)


def _example() -> dict[str, Any]:
    from agent_kernel.cli.demo import DATA, NOTEBOOK, examples

    notebook = json.loads((examples() / NOTEBOOK).read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    data = {"path": DATA, "text": (examples() / DATA).read_text()}
    return {"name": NOTEBOOK, "notebook": notebook, "files": [data]}
