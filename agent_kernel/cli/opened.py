"""The opened store and backends, and table output, for the actions of `agent-kernel containers`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent_kernel.config import Settings
from agent_kernel.errors import EngineUnavailable, NotFound

if TYPE_CHECKING:
    from agent_kernel.runtime.containers.containers import LocalContainers
    from agent_kernel.runtime.observe.audit import AuditLog
    from agent_kernel.sandboxes.base import Backend, SandboxRef
    from agent_kernel.store.rows import Rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows of equal length as aligned columns; the first row holds the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


class Opened:
    """The store, and every backend that the settings allow; `auto` allows several.

    An engine that does not answer is an error only if it is the only one.
    """

    def __init__(self, settings: Settings) -> None:
        from agent_kernel.cli import compose

        self.settings = settings
        self.backends: list[Backend] = [
            compose.backend(settings, name) for name in compose.possible_backends(settings)
        ]
        self.parts = compose.store(settings)
        self.store: Rows = self.parts.rows
        self.audit: AuditLog = compose.audit_log(settings)

    async def labels(self) -> dict[str, str]:
        """Return the labels that all sandboxes and checkpoints of this store carry."""
        from agent_kernel.runtime.containers.sweep import STORE_LABEL

        return {STORE_LABEL: await self.store.identity()}

    async def sandboxes(self) -> dict[str, tuple[Backend, SandboxRef]]:
        """Return the sandboxes of this store, by id."""
        labels, found = await self.labels(), {}
        for backend in self.backends:
            try:
                refs: Iterable[SandboxRef] = await backend.list(labels)
            except EngineUnavailable:
                if len(self.backends) == 1:
                    raise
                continue
            found.update({ref.id: (backend, ref) for ref in refs})
        return found

    async def remove(self, backend: Backend, ref: SandboxRef) -> None:
        """Remove a sandbox, verify that it is gone, and write that to the audit log."""
        from agent_kernel.runtime.containers.removal import remove_verified

        await remove_verified(backend, ref, self.audit)

    async def prune(self) -> int:
        """Remove the checkpoints that the settings do not keep, and return their number."""
        from agent_kernel.cli import compose
        from agent_kernel.runtime.containers.checkpoints import Checkpoints

        policy = compose.container_settings(self.settings, lease=0).checkpoints
        removed = 0
        for backend in self.backends:

            async def engine(backend: Backend = backend) -> Backend:
                return backend

            try:
                removed += len(await Checkpoints(engine, self.store, policy, self.audit).prune())
            except EngineUnavailable:
                if len(self.backends) == 1:
                    raise
        return removed

    async def aclose(self) -> None:
        """Close the backends, the store and the audit log."""
        for backend in self.backends:
            await backend.aclose()
        await self.parts.aclose()
        self.audit.close()


@asynccontextmanager
async def containers_with(settings: Settings, container_id: str) -> AsyncGenerator[LocalContainers, None]:
    """Yield the containers on the backend that runs `container_id`. Raises `NotFound`."""
    opened = Opened(settings)
    try:
        row = await opened.store.container(container_id)
        backends = [backend for backend in opened.backends if row and backend.name == row.backend]
        if not backends:
            raise NotFound(f"There is no container {container_id}.", hint="See: agent-kernel containers list")
        async with containers_on(opened, backends[0]) as containers:
            yield containers
    finally:
        await opened.aclose()


@asynccontextmanager
async def containers_on(opened: Opened, backend: Backend) -> AsyncGenerator[LocalContainers, None]:
    """Yield the containers of the store on one of its backends."""
    from agent_kernel.cli import compose
    from agent_kernel.runtime.containers.containers import LocalContainers

    lease = opened.settings.runtime.server_lease
    settings = compose.container_settings(opened.settings, lease=lease)
    containers = LocalContainers.of_all(backend, opened.store, settings, opened.audit)
    try:
        yield containers
    finally:
        await containers.aclose()
