"""The life cycle of a container's sandbox: created, attached, expired, restored, removed.

Expiry is decided in the store after the checkpoint was taken. A use by any process meanwhile keeps the
container, and a crash at any point leaves either the sandbox or its checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from agent_kernel.errors import (
    ImageMissing,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.protocol.params import MEMORY_LIMITS
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.access import with_network
from agent_kernel.runtime.containers.attachment import Attachment
from agent_kernel.runtime.containers.checkpoints import Checkpoints
from agent_kernel.runtime.containers.ending.deaths import Deaths
from agent_kernel.runtime.containers.ending.expiration import Expiration
from agent_kernel.runtime.containers.ending.expiry import ExpiryTimer
from agent_kernel.runtime.containers.params import new_id
from agent_kernel.runtime.containers.readiness import Prepare, Readiness
from agent_kernel.runtime.containers.removal import gone, remove_verified
from agent_kernel.runtime.containers.resources import Resources, owner_of, with_resources
from agent_kernel.runtime.containers.returning import Returns
from agent_kernel.runtime.containers.settings import ContainerOptions
from agent_kernel.runtime.containers.sweep import LIVE, STORE_LABEL, claim_place, is_busy, sweep
from agent_kernel.runtime.network.networks import Networks
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import Snapshot, keeps_snapshots
from agent_kernel.sandboxes.pool import OWNER_LABEL, WarmPool, process_name
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows
from agent_kernel.tools.catalogue import warm_up

log = logging.getLogger(__name__)

BackendSource = Backend | Callable[[], Awaitable[Backend]]
"""A backend, or a function that finds one on first use, because looking for an engine slows start-up."""

_BUSY = {"restoring": "expired", "saving": "running"}
"""The statuses of a container that a process is working on, each with the status before it."""


class Lifecycle:
    """The sandboxes of one store's containers on one backend."""

    def __init__(
        self,
        backend: BackendSource,
        store: Rows,
        settings: ContainerOptions,
        audit: AuditLog,
        prepare: Prepare | None = None,
    ) -> None:
        self.settings = settings
        self.audit = audit
        self.networks = Networks(store, settings.network_bound(), settings.network_options, audit)
        self.checkpoints = Checkpoints(self.engine, store, settings.checkpoints, audit)
        self._expiration = Expiration(self, store)
        self._deaths = Deaths(self, self._expiration, store)
        self._returns = Returns(self, store)
        self.timer = ExpiryTimer(self._expiration.expire)
        self._readiness = Readiness(prepare)
        self._source = backend
        self._backend: Backend | None = None
        self._store = store
        self._pool: WarmPool | None = None
        self._attachments: dict[str, Attachment] = {}
        self._starting = asyncio.Lock()

    @property
    def opened(self) -> Backend | None:
        """The backend, or None before its first use."""
        return self._backend

    async def engine(self) -> Backend:
        """Return the backend. The first call finds it and sweeps leftovers of earlier processes."""
        async with self._starting:
            if self._backend is None:
                self.audit.open()
                source = self._source
                backend = await source() if callable(source) else source
                try:
                    await claim_place(backend, self._store)
                    keeps, skills = self._keeps(backend), self.settings.skills
                    await sweep(backend, self._store, self.audit, keeps=keeps, skills=skills)
                    await self._begin_pool(backend)
                except BaseException:
                    await backend.aclose()
                    raise
                self._backend = backend
                self.timer.start()
        return self._backend

    def _keeps(self, backend: Backend) -> bool:
        return self.settings.checkpoints.keep_expired and keeps_snapshots(backend)

    async def _begin_pool(self, backend: Backend) -> None:
        if self.settings.warm:
            resources = await self.settings.allowed.resolve(Resources(), backend)
            template = await self._spec(new_id(), self.memory_limit(backend, None), resources)
            template = replace(template, network=await self.networks.default(backend))
            self._pool = WarmPool(backend, self.settings.warm, template, new_id, warm_up)
            self._pool.fill()

    def memory_limit(self, backend: Backend, asked: str | None) -> str | None:
        """Return the limit that a container will have; None where the backend cannot limit memory."""
        default = self.settings.memory_limit if backend.capabilities().memory_limit else None
        return asked or default

    async def _spec(
        self, sandbox_id: str, memory_limit: str | None, resources: Resources, tenant: str = ""
    ) -> SandboxSpec:
        identity = await self._store.identity()
        spec = SandboxSpec(
            id=sandbox_id,
            labels={STORE_LABEL: identity},
            memory=MEMORY_LIMITS[memory_limit or self.settings.memory_limit],
            lease=self.settings.lease,
            keep=self.settings.checkpoints.keep_expired,
            skills=str(self.settings.skills.root) if self.settings.skills.root is not None else None,
        )
        mounts = self.settings.allowed.host_mounts(resources)
        return with_resources(spec, resources, mounts, owner_of(identity, tenant))

    async def _spec_of(self, row: ContainerRow) -> SandboxSpec:
        """Return the request for a container's sandbox. Raises `SandboxStartFailed` for a damaged row."""
        try:
            resources = Resources.of_json(row.resources)
        except ValueError:
            raise SandboxStartFailed(
                f"The store's record of container {row.id} is damaged.", hint="Create a new container."
            ) from None
        spec = await self._spec(row.sandbox_id, row.memory_limit, resources, row.tenant)
        if row.sandbox:  # until the row names it, only this says that it is not left over
            spec = replace(spec, labels={**spec.labels, OWNER_LABEL: process_name()})
        return with_network(spec, await self.networks.network(row), await self.engine())

    def held(self, container_id: str) -> Attachment | None:
        """Return what this process holds of a container already."""
        return self._attachments.get(container_id)

    def attachment(self, container_id: str) -> Attachment:
        """Return what this process holds of a container."""
        found = self._attachments.get(container_id)
        if found is None:

            def paused() -> None:
                self.audit.of(attachment.tenant).write("pause", container=container_id)

            attachment = found = self._attachments[container_id] = Attachment(
                self.settings.pause_after, paused
            )
        return found

    # -- coming -------------------------------------------------------------------------------------------

    async def create(
        self, row: ContainerRow, snapshot: Snapshot | None = None, *, most: int | None = None
    ) -> ContainerRow | None:
        """Make the sandbox of a new container and store its row. A sandbox of the pool has its own id.

        None, and nothing is made, if `most` of its tenant are live already. Nothing is left behind by a
        failure or a cancellation.
        """
        began = time.monotonic()
        spec = await self._spec_of(row)
        started = False
        try:
            if not await self._store.add_container(row, most):
                return None
            warm = await self._pool.take(spec) if self._pool is not None and snapshot is None else None
            if warm is not None:
                asked, row, started = row, replace(row, id=warm.ref.id), True
                self.attachment(row.id).lead_into(row.id, warm.channel)
                await self.networks.take_over(row, asked.id, warm.channel)
                await self._store.rename_container(asked.id, row.id)
            else:
                await self.begin(row, snapshot)
                started = True
            row = replace(row, status="running", last_active_at=time.time())
            await self._store.put_container(row)
        except BaseException:
            await asyncio.shield(self._undo_create(row, started=started))
            raise
        attachment = self.attachment(row.id)
        attachment.tenant = row.tenant
        attachment.wait()
        self.audit.of(row.tenant).write(
            "create", container=row.id, name=row.name, backend=row.backend, memory_limit=row.memory_limit,
            resources=Resources.of_json(row.resources).listed() or None, warm=warm is not None,
            snapshot=snapshot.id if snapshot else None, seconds=time.monotonic() - began,
        )  # fmt: skip
        return row

    async def _undo_create(self, row: ContainerRow, *, started: bool) -> None:
        try:
            if started:
                await self.remove(row)
        finally:
            self._attachments.pop(row.id, None)
            self.networks.forget(row.id)
            await asyncio.to_thread(self.settings.skills.forget, row.id)
            await self._store.delete_container(row.id)

    async def begin(self, row: ContainerRow, snapshot: Snapshot | None) -> None:
        """Make the sandbox of a container and attach to it. All or nothing."""
        self.attachment(row.id).lead_into(row.sandbox_id, await self.start(row, snapshot))

    async def start(self, row: ContainerRow, snapshot: Snapshot | None) -> Channel:
        """Make a sandbox and open its channel at once, because its lease runs until then. All or nothing."""
        backend = await self.engine()
        spec = await self._spec_of(row)
        ref = await self._make(backend, replace(spec, snapshot=snapshot.id if snapshot else None))
        try:
            return await self.networks.attached(backend, ref, row)
        except BaseException:
            await asyncio.shield(self.remove(row))
            raise

    async def _make(self, backend: Backend, spec: SandboxSpec) -> SandboxRef:
        """Make a sandbox; first prepare what it is made from, if that is missing and can be prepared here."""
        try:
            return await backend.create(spec)
        except ImageMissing:
            if not await self._readiness.ensure(backend.name):
                raise
        return await backend.create(spec)

    async def attach(
        self, row: ContainerRow, allowance: Quota | None = None, *, restore: bool = True
    ) -> Channel:
        """Open the channel to a running container, or bring back an ended one; hold its lock.

        One whose sandbox is found dead is ended first, and its files are kept. Without `restore`, nothing is
        brought back. Raises `LimitReached` if too many others live for it to be brought back,
        `InvalidRequest` for an expired one without a checkpoint, `SandboxGone`, `SandboxUnreachable`,
        `EngineUnavailable`.
        """
        row = await self.settled(row)
        if row.status == "running":
            try:
                return await self._attached(row)
            except SandboxGone:
                found = await self._store.container(row.id)
                if not restore or found is None or found.status != "expired":
                    raise
                row = found
        if row.status == "expired":
            if not restore:
                raise gone(row.id, kept=await self.checkpoints.of_expired(row.id) is not None)
            await self._bring_back(row, allowance or Quota())
        return await self._attached(row)

    async def settled(self, row: ContainerRow) -> ContainerRow:
        """Return a row that no process is busy with. Raises `SandboxUnreachable`, `SandboxGone`."""
        if row.status in _BUSY and not is_busy(row, time.time()):  # that process was killed
            status = _BUSY[row.status]
            await self._store.change_container(row.id, row.status, status, row.last_active_at)
            row = await self._store.container(row.id) or replace(row, status="dead")
        if row.status in _BUSY:
            doing = "being restored" if row.status == "restoring" else "being saved"
            raise SandboxUnreachable(f"Container {row.id} is {doing}.", hint="Try again.")
        if row.status == "dead":
            raise gone(row.id)
        return row

    async def _attached(self, row: ContainerRow) -> Channel:
        attachment = self.attachment(row.id)
        attachment.tenant = row.tenant
        if attachment.channel is None or attachment.channel.closed.is_set():
            row, channel = await self._open(row)
            attachment.lead_into(row.sandbox_id, channel)
            return channel
        return attachment.channel

    async def _open(self, row: ContainerRow) -> tuple[ContainerRow, Channel]:
        backend = await self.check_backend(row)
        try:
            ref = await backend.get(row.sandbox_id)
            if ref.status == "dead":
                raise gone(row.id)
            channel = await self.networks.attached(backend, ref, row)
        except SandboxGone as error:
            await self._deaths.end(row)
            now = await self._store.container(row.id)
            if now is not None and now.status == "running" and now.sandbox != row.sandbox:
                return await self._open(now)  # another process has put it back to a snapshot
            kept = now is not None and now.status == "expired"
            raise gone(row.id, kept=kept) from error
        self.audit.of(row.tenant).write("attach", container=row.id)
        return row, channel

    async def look(self, row: ContainerRow) -> ContainerRow:
        """Return the row of a container after asking the engine; one whose sandbox is dead is ended.

        Raises `SandboxUnreachable` if this runtime has another backend, `EngineUnavailable`.
        """
        if row.status != "running" or await self._lives(row):
            return row
        async with self.attachment(row.id).lock:
            found = await self._store.container(row.id)
            if found is not None and found.status == "running" and not await self._lives(found):
                await self._deaths.end(found)
        return await self._store.container(row.id) or replace(row, status="dead")

    async def _lives(self, row: ContainerRow) -> bool:
        backend = await self.check_backend(row)
        try:
            return (await backend.get(row.sandbox_id)).status != "dead"
        except SandboxGone:
            return False

    async def check_backend(self, row: ContainerRow) -> Backend:
        """Return the backend of a row. Raises `SandboxUnreachable` where this runtime has another."""
        backend = await self.engine()
        if row.backend != backend.name:
            raise SandboxUnreachable(
                f"Container {row.id} is a {row.backend} sandbox; this runtime uses {backend.name}.",
                hint=f"Start it with AGENT_KERNEL_SANDBOX={row.backend}, or create a new container.",
            )
        return backend

    async def _bring_back(self, row: ContainerRow, allowance: Quota) -> None:
        """Start an expired container again, from its checkpoint."""
        await self.check_backend(row)
        await self._expiration.settle(row)
        await self._returns.from_expiry(row, allowance)

    async def revive(self, row: ContainerRow, snapshot: Snapshot, allowance: Quota) -> None:
        """Start a container that has ended again, from a snapshot; hold its lock. See `Returns`."""
        await self.check_backend(row)
        await self._expiration.settle(row)
        await self._returns.from_snapshot(row, snapshot, allowance)

    # -- going --------------------------------------------------------------------------------------------

    async def remove(self, row: ContainerRow) -> None:
        """Remove a sandbox and check that it is gone. Raises `SandboxError` if it is not."""
        attachment = self._attachments.get(row.id)
        if attachment is not None and attachment.sandbox in ("", row.sandbox_id):
            await attachment.aclose()
        backend = await self.engine()
        ref = SandboxRef(row.sandbox_id, backend.name, "dead")
        await remove_verified(backend, ref, self.audit.of(row.tenant))

    async def put_away(self, row: ContainerRow) -> None:
        """Remove a sandbox that is left over. A failure is logged, and tried again later."""
        try:
            await self._expiration.put_away(row)
        except SandboxError as error:
            log.warning("The sandbox %s could not be removed now: %s", row.sandbox_id, error)

    async def forget(self, row: ContainerRow) -> None:
        """Remove a container's sandbox and its automatic checkpoints."""
        if row.status in LIVE:
            await self.check_backend(row)
            await self.remove(row)
        backend = await self.engine()
        if row.backend == backend.name:
            if row.status not in LIVE:  # it has ended, but its removal may have failed
                with suppress(SandboxGone):
                    await backend.get(row.sandbox_id)
                    await self.remove(row)
            await self.checkpoints.forget_all(row.id)
        await asyncio.to_thread(self.settings.skills.forget, row.id)
        self._attachments.pop(row.id, None)

    async def detach(self, container_id: str) -> None:
        """Close the channel; the sandbox lives on until its lease ends."""
        attachment = self._attachments.get(container_id)
        if attachment is not None:
            await attachment.aclose()

    async def aclose(self) -> None:
        """Close the channel to every container; each lives on until its lease ends. Idempotent."""
        await self.timer.aclose()
        await self._readiness.aclose()
        for container_id in list(self._attachments):
            await self.detach(container_id)
        if self._pool is not None:
            await self._pool.aclose()
        self.audit.close()
        if self._backend is not None:
            backend, self._backend = self._backend, None
            await backend.aclose()
