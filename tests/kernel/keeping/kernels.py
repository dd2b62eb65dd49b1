"""Kernels without Jupyter, one after the other, on the store in one folder."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_kernel.kernel.cell_run import CellRunner, SubmittedCell
from agent_kernel.kernel.front_end import FrontEnd
from agent_kernel.kernel.notebook import Notebook
from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.transfer.mentions import attach
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.remote.runtime import RemoteRuntime
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store
from tests.runtime.conftest import served

SCRIPT = Path(__file__).parents[1] / "script.yaml"


@dataclass
class KeptKernel:
    """A notebook `n.ipynb` on a runtime; `keep` is its setting. `local` has the containers."""

    local: LocalRuntime
    runtime: Runtime
    keep: bool = True
    notebook: Notebook = field(init=False)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def opened() -> Any:
            return self.runtime

        settings = KernelSettings(keep=self.keep)
        self.notebook = Notebook(opened, settings, logging.getLogger(__name__), attach)
        self.notebook.file = Path("/home/me/n.ipynb")
        self._runner = CellRunner(self.notebook, lambda: None)
        self._numbers = itertools.count(1)

    @property
    def container(self) -> str:
        assert self.notebook.container.id is not None
        return self.notebook.container.id

    async def run(self, source: str, cell_id: str | None = None) -> list[str]:
        """Run a cell. Return what it showed as text. Raises what it raises."""
        number, self.texts = next(self._numbers), []
        outputs = CellOutputs(self._publish, FrontEnd.NOTEBOOK, execution_count=number)
        await self._runner.run(SubmittedCell(source, number, {}, live=False, id=cell_id), outputs)
        outputs.finish()
        return self.texts

    def _publish(self, _kind: str, content: dict[str, Any]) -> None:
        self.texts.append(str(content.get("text") or content.get("data", {}).get("text/plain", "")))


@dataclass
class Machine:
    """A folder with a store, and the sandboxes that `backend` makes. `remote` kernels use a server there."""

    folder: Path
    backend: Callable[[Path], Backend]
    remote: bool = False

    @asynccontextmanager
    async def kernel(
        self, *, killed: bool = False, keep: bool = True, **options: Any
    ) -> AsyncIterator[KeptKernel]:
        """Run a kernel. At the end it is shut down, or `killed`: then nothing is written any more."""
        local = LocalRuntime(
            RuntimeParts(
                models=Models(upstream_url=None, upstream_key=None, default=f"scripted/{SCRIPT}"),
                backend=self.backend(self.folder),
                store=sqlite_store(self.folder),
                container_settings=ContainerOptions(**options),
            )
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(local.aclose)
            runtime: Runtime = local
            if self.remote:
                runtime = RemoteRuntime(await stack.enter_async_context(served(local, "secret")), "secret")
                stack.push_async_callback(runtime.aclose)
            kernel = KeptKernel(local, runtime, keep)
            yield kernel
            if killed:
                kernel.notebook.container.stop_keeping_alive()
            else:
                await kernel.notebook.kept.close(runtime, 30.0)

    async def clear(self) -> None:
        """Remove all containers and snapshots."""
        async with self.kernel(killed=True) as kernel:
            containers = kernel.local.containers
            for container in (await containers.list(limit=100)).data:
                await containers.delete(container.id)
            for snapshot in await containers.checkpoints.all():
                assert await containers.checkpoints.remove(snapshot)
