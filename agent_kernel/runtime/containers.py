"""Containers: sandboxes with an id, a name, a time to live and files, as `/v1/containers` has them.

A container is a row in the store and a sandbox of the same id at the backend. The row is written before the
sandbox is made and carries this store's identity as the sandbox's label, so that whatever a crash left
behind is found at the next start. Several processes may share a store: each attaches to a container only
when it is used, and expiry is decided in the store.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from openai.types import ContainerCreateResponse

from agent_kernel.errors import InvalidRequest, NotFound, SandboxGone, SandboxUnreachable
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.container_params import MEMORY_LIMITS, check_params
from agent_kernel.runtime.expiry import ExpiryTimer
from agent_kernel.runtime.files import LocalContainerFiles
from agent_kernel.runtime.paging import page
from agent_kernel.runtime.store import ContainerRow, Store
from agent_kernel.runtime.sweep import LIVE, STORE_LABEL, sweep
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel

log = logging.getLogger(__name__)

BackendSource = Backend | Callable[[], Awaitable[Backend]]
"""A backend, or what finds one on first use (looking for an engine takes time that a start-up has not)."""


@dataclass(frozen=True)
class ContainerSettings:
    """How containers are made and for how long they stay."""

    expires_after: int = 20
    """Minutes without any operation, where the request sets none."""
    lease: float = 60.0
    """Seconds that a sandbox lives on when this process dies without a word."""
    pids: int = 512
    """Processes and threads at once in one container."""
    memory_limit: str = "1g"
    """Where the request sets none."""
    upload_limit: int = 512 << 20
    """Bytes of one uploaded file."""


@dataclass
class _Attached:
    """What this process holds of one container."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    channel: Channel | None = None
    users: int = 0


class LocalContainers:
    """The containers of one store on one backend. `files` are the files in them."""

    def __init__(
        self, backend: BackendSource, store: Store, settings: ContainerSettings | None = None
    ) -> None:
        self.settings = settings or ContainerSettings()
        self._backend_source = backend
        self._backend: Backend | None = None
        self._store = store
        self._attached: dict[str, _Attached] = {}
        self._expired: set[str] = set()
        self._starting = asyncio.Lock()
        self._files = LocalContainerFiles(self, store, self.settings.upload_limit)
        self._timer = ExpiryTimer(self._expire)

    @property
    def files(self) -> LocalContainerFiles:
        """The files in them."""
        return self._files

    async def _engine(self) -> Backend:
        """The backend, found and swept on first use."""
        async with self._starting:
            if self._backend is None:
                source = self._backend_source
                backend = await source() if callable(source) else source
                try:
                    await sweep(backend, self._store)
                except BaseException:
                    await backend.aclose()
                    raise
                self._backend = backend
                self._timer.start()
        return self._backend

    async def create(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Make a container; see `Containers.create`. Cancelling it leaves nothing behind."""
        backend = await self._engine()
        row = self._new_row(params, backend)
        try:
            await self._store.put_container(row)
            ref = await backend.create(await self._spec(row))
            try:
                # Attached at once: the lease runs while nobody is.
                channel = await Channel.open(await backend.stream(ref))
                self._attached[row.id] = _Attached(channel=channel)
                row = replace(row, status="running", last_active_at=time.time())
                await self._store.put_container(row)
            except BaseException:
                await self._detach(row.id)
                await backend.delete(ref)
                raise
        except BaseException:
            await self._store.delete_container(row.id)
            raise
        self._timer.refresh()
        return _resource(row)

    def _new_row(self, params: Mapping[str, Any], backend: Backend) -> ContainerRow:
        asked = check_params(params)
        if asked.memory_limit is not None and not backend.capabilities().memory_limit:
            raise InvalidRequest(
                f"The {backend.name} sandbox cannot limit memory here.",
                mend="Leave memory_limit out, or run with AGENT_KERNEL_SANDBOX=docker.",
                param="memory_limit",
            )
        default = self.settings.memory_limit if backend.capabilities().memory_limit else None
        now = time.time()
        return ContainerRow(
            id=f"cntr_{secrets.token_hex(16)}",
            name=asked.name,
            backend=backend.name,
            created_at=now,
            last_active_at=now,
            expires_after=asked.minutes or self.settings.expires_after,
            status="creating",
            memory_limit=asked.memory_limit or default,
        )

    async def _spec(self, row: ContainerRow) -> SandboxSpec:
        return SandboxSpec(
            id=row.id,
            labels={STORE_LABEL: await self._store.identity()},
            memory=MEMORY_LIMITS[row.memory_limit or self.settings.memory_limit],
            pids=self.settings.pids,
            lease=self.settings.lease,
        )

    async def list(
        self, *, after: str | None = None, limit: int = 20, order: Order = "desc", name: str | None = None
    ) -> Page[ContainerCreateResponse]:
        """A page of the containers, by time of creation, expired ones included."""
        rows = [row for row in await self._store.containers() if name is None or row.name == name]
        return page([_resource(row) for row in rows], after=after, limit=limit, order=order)

    async def retrieve(self, container_id: str) -> ContainerCreateResponse:
        """One container; the engine is asked whether it is still alive."""
        row = await self._row(container_id)
        if row.status == "running" and row.backend == (await self._engine()).name:
            try:
                await self._ref(row)
            except SandboxGone:
                row = await self._row(container_id)
        return _resource(row)

    async def delete(self, container_id: str) -> None:
        """End it and remove all that is in it; what it was is forgotten."""
        row = await self._row(container_id)
        if row.status in LIVE:
            await self._check_backend(row)
            await self._remove_sandbox(container_id)
        await self._store.delete_container(container_id)

    async def is_alive(self, container_id: str) -> bool:
        """Whether it can be used now. Raises `EngineUnavailable`."""
        row = await self._store.container(container_id)
        if row is None or row.status not in LIVE or row.backend != (await self._engine()).name:
            return False
        try:
            await self._ref(row)
        except SandboxGone:
            return False
        return True

    @asynccontextmanager
    async def use(self, container_id: str) -> AsyncGenerator[Channel, None]:
        """Its channel, for one operation; it does not expire meanwhile, and was active when that ends.

        Raises `NotFound`, `InvalidRequest` when it has expired, `SandboxGone`, `SandboxUnreachable`,
        `EngineUnavailable`.
        """
        channel = await self.channel(container_id)
        attached = self._attached.setdefault(container_id, _Attached())
        attached.users += 1
        self._timer.refresh()
        try:
            yield channel
        except SandboxGone as error:
            await self.channel(container_id)  # a new connection tells: this raises if it is really dead
            raise SandboxUnreachable(
                f"The connection to container {container_id} was lost, but it is still running.",
                mend="Try again.",
            ) from error
        finally:
            attached.users -= 1
            await self._store.touch_container(container_id, time.time())
            self._timer.refresh()

    async def channel(self, container_id: str) -> Channel:
        """The open channel to a container, opened (again) where there is none. Errors as in `use`."""
        row = await self._row(container_id)
        if row.status == "expired":
            raise InvalidRequest("Container is expired.", mend="Create a new one; its files are gone.")
        if row.status == "dead":
            raise gone(container_id)
        attached = self._attached.setdefault(container_id, _Attached())
        async with attached.lock:
            if attached.channel is None or attached.channel.closed.is_set():
                attached.channel = await self._open(row)
            await self._store.touch_container(container_id, time.time())
            return attached.channel

    async def _open(self, row: ContainerRow) -> Channel:
        ref = await self._ref(row)
        backend = await self._engine()
        try:
            return await Channel.open(await backend.stream(ref))
        except SandboxGone as error:
            await self._lost(row.id)
            raise gone(row.id) from error

    async def _row(self, container_id: str) -> ContainerRow:
        row = await self._store.container(container_id)
        if row is None:
            raise NotFound(f"There is no container {container_id!r}.", param="container_id")
        return row

    async def _ref(self, row: ContainerRow) -> SandboxRef:
        """The live sandbox of a row. Raises `SandboxGone` after noting it."""
        backend = await self._check_backend(row)
        try:
            ref = await backend.get(row.id)
        except SandboxGone as error:
            await self._lost(row.id)
            raise gone(row.id) from error
        if ref.status == "dead":
            await self._lost(row.id)
            raise gone(row.id)
        return ref

    async def _check_backend(self, row: ContainerRow) -> Backend:
        backend = await self._engine()
        if row.backend != backend.name:
            raise SandboxUnreachable(
                f"Container {row.id} is a {row.backend} sandbox; this runtime uses {backend.name}.",
                mend=f"Start it with AGENT_KERNEL_SANDBOX={row.backend}, or create a new container.",
            )
        return backend

    async def _lost(self, container_id: str) -> None:
        """It died without us: remember, and remove what is left of it."""
        if await self._store.end_container(container_id, "dead"):
            log.warning("Container %s was ended from outside.", container_id)
            await self._remove_sandbox(container_id)

    async def _remove_sandbox(self, container_id: str) -> None:
        await self._detach(container_id)
        backend = await self._engine()
        await backend.delete(SandboxRef(container_id, backend.name, "dead"))

    async def _detach(self, container_id: str) -> None:
        attached = self._attached.pop(container_id, None)
        if attached is not None and attached.channel is not None:
            await attached.channel.aclose()

    async def _expire(self, now: float) -> float | None:
        """End what has expired; return when to look again (Unix seconds), None if nothing is alive."""
        soonest: float | None = None
        for row in await self._store.containers():
            if row.status != "running":
                continue
            attached = self._attached.get(row.id)
            if attached is not None and attached.users:
                await self._store.touch_container(row.id, now)
                # Half-way: another process on this store must see the touch before it would expire it.
                deadline = now + row.expires_after * 30
            elif row.expires_at <= now and await self._store.end_container(row.id, "expired", if_idle_at=now):
                log.info("Container %s has expired.", row.id)
                if row.backend == (await self._engine()).name:  # else that backend's next start removes it
                    self._expired.add(row.id)
                continue
            else:
                deadline = row.expires_at
            soonest = deadline if soonest is None else min(soonest, deadline)
        for container_id in list(self._expired):  # kept for the next time if the engine does not answer now
            await self._remove_sandbox(container_id)
            self._expired.discard(container_id)
        return soonest

    def refresh(self) -> None:
        """Look again what has expired, and when the next will."""
        self._timer.refresh()

    async def aclose(self) -> None:
        """Let go of every container; each lives on until its lease ends. Idempotent."""
        await self._timer.aclose()
        for container_id in list(self._attached):
            await self._detach(container_id)
        if self._backend is not None:
            backend, self._backend = self._backend, None
            await backend.aclose()


def gone(container_id: str) -> SandboxGone:
    """The words for a container that died without us."""
    return SandboxGone(
        f"Container {container_id} was ended from outside: it is no longer running and its files are lost.",
        mend="Create a new container, or ask for container_auto, which makes one.",
    )


def _resource(row: ContainerRow) -> ContainerCreateResponse:
    return ContainerCreateResponse.model_validate(
        {
            "id": row.id,
            "object": "container",
            "name": row.name,
            "created_at": int(row.created_at),
            "last_active_at": int(row.last_active_at),
            "status": row.status,
            "expires_after": {"anchor": "last_active_at", "minutes": row.expires_after},
            "memory_limit": row.memory_limit,
            "network_policy": {"type": "disabled"},
        }
    )
