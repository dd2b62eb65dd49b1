"""Containers: sandboxes with an id, a name, a time to live and files, as `/v1/containers` has them.

A container is a row in the store and a sandbox of the same id at the backend. The row is written before the
sandbox is made, and the sandbox's label carries this store's identity, so that the next start finds anything
that a crash left behind. Several processes may share a store: each attaches to a container only
when it is used, and expiry is decided in the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from openai.types import ContainerCreateResponse

from agent_kernel.egress.tls.secrets import DomainSecret
from agent_kernel.errors import AgentKernelError, NotFound, SandboxGone, SandboxUnreachable
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.base import Order, Page
from agent_kernel.runtime.containers.access import open_ports
from agent_kernel.runtime.containers.attachment import Attachment, Return
from agent_kernel.runtime.containers.checkpoints import Checkpoints, Kind, container_of, tenant_of
from agent_kernel.runtime.containers.files import LocalContainerFiles
from agent_kernel.runtime.containers.lifecycle import BackendSource, Lifecycle
from agent_kernel.runtime.containers.metering import ContainerMetering
from agent_kernel.runtime.containers.params import check_params
from agent_kernel.runtime.containers.resources import shown
from agent_kernel.runtime.containers.rows import asked_like, new_row, resource
from agent_kernel.runtime.containers.sessions import ServesFrontEnds, ask_session
from agent_kernel.runtime.containers.settings import CheckpointPolicy, ContainerOptions
from agent_kernel.runtime.containers.skills.equipment import take_along
from agent_kernel.runtime.containers.snapshots.going_back import GoingBack, went_back
from agent_kernel.runtime.containers.snapshots.kept import KeptSnapshots, shown_snapshot
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.network import policy as network_policy
from agent_kernel.runtime.network.base import Destination, NetworkReport
from agent_kernel.runtime.network.egress import RunningCall
from agent_kernel.runtime.network.networks import NetworkChange
from agent_kernel.runtime.observe.audit import OFF, AuditLog
from agent_kernel.runtime.paging import Asked, page
from agent_kernel.runtime.snapshots import ContainerSnapshot, RestoredContainer
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import Snapshot
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

__all__ = ["BackendSource", "CheckpointPolicy", "ContainerOptions", "LocalContainers"]


class LocalContainers(ServesFrontEnds):
    """The containers in `rows`, on the backend of `lifecycle`. `files` are the files in them.

    `quota` limits those of one tenant.
    """

    def __init__(self, lifecycle: Lifecycle, rows: Rows, quota: Quota | None = None) -> None:
        self.settings = lifecycle.settings
        self.audit = lifecycle.audit.of(rows.tenant or "")
        self.metering = ContainerMetering(lifecycle)
        self._lifecycle = lifecycle
        self._store = rows
        self._allowance = quota or Quota()
        self._files = LocalContainerFiles(self, rows, self.settings.upload_limit, self.audit)
        if rows.tenant is not None:
            self.checkpoints.allowances[rows.tenant] = self._allowance
        self._snapshots = KeptSnapshots(self, self.checkpoints, rows, self._allowance)
        self._going_back = GoingBack(lifecycle, rows, self._allowance)

    @classmethod
    def of_all(
        cls,
        backend: BackendSource,
        rows: Rows,
        settings: ContainerOptions | None = None,
        audit: AuditLog = OFF,
    ) -> LocalContainers:
        """Return the containers of a backend and a store, without a runtime around them."""
        return cls(Lifecycle(backend, rows, settings or ContainerOptions(), audit), rows)

    @property
    def files(self) -> LocalContainerFiles:
        """The files in them."""
        return self._files

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of the containers."""
        return self._lifecycle.checkpoints

    async def warm_up(self) -> None:
        """Find the backend and fill the pool before the first request. Failures are logged."""
        try:
            await self._lifecycle.engine()
        except AgentKernelError as error:  # the first request that needs it gets this error
            log.warning("No containers can be kept ready: %s", error)

    async def create(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """Create a container; see `Containers.create`. Cancelling leaves nothing behind.

        Raises `LimitReached`.
        """
        asked = check_params(params)
        row = await new_row(self._lifecycle, asked, self._store.tenant or "")
        return await self._create(row, secrets=asked.secrets)

    async def _create(
        self, row: ContainerRow, snapshot: Snapshot | None = None, secrets: tuple[DomainSecret, ...] = ()
    ) -> ContainerCreateResponse:
        networks = self._lifecycle.networks
        networks.secrets.put(row.id, secrets)
        try:
            created = await self._lifecycle.create(row, snapshot, most=self._allowance.limits.containers)
        except BaseException:
            networks.forget(row.id)
            raise
        if created is None:
            networks.forget(row.id)
            raise self._allowance.too_many_containers()
        self.refresh()
        return await self._resource(created)

    async def list(
        self, *, after: str | None = None, limit: int = 20, order: Order = "desc", name: str | None = None
    ) -> Page[ContainerCreateResponse]:
        """Return a page of the containers, by time of creation, expired ones included."""
        asked = Asked(after, limit, order)
        found = await page(
            await self._store.containers(),
            asked,
            before=lambda gone: self._store.before("containers", gone),
            shown=lambda row: name is None or row.name == name,
        )
        return Page([await self._resource(row) for row in found.data], found.has_more)

    async def retrieve(self, container_id: str) -> ContainerCreateResponse:
        """Return one container, after asking the engine whether it is still alive."""
        row = await self._row(container_id)
        if row.status == "running" and row.backend == (await self._lifecycle.engine()).name:
            await self._lifecycle.look(row)
            row = await self._row(container_id)
        return await resource(self._lifecycle, row, whole=True)

    async def delete(self, container_id: str) -> None:
        """End a container and remove everything in it and its row. Explicit checkpoints stay."""
        row: ContainerRow | None = await self._row(container_id)
        while row is not None:
            await self._lifecycle.forget(row)
            if await self._store.delete_container(container_id, sandbox=row.sandbox):
                break
            row = await self._store.container(container_id)  # it went back to a snapshot meanwhile
        self._lifecycle.networks.forget(container_id)

    async def reset(self, container_id: str) -> ContainerCreateResponse:
        """Begin a fresh shell in a container; see `Containers.reset`. Errors as in `use`."""
        async with self.use(container_id, to_run=True) as channel:
            await channel.reset()
        self.audit.write("reset", container=container_id)
        return await self._resource(await self._row(container_id))

    async def ask_session(self, container_id: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the Python session of a container; see `runtime.sessions.AsksSessions`."""
        return await ask_session(self, container_id, question)

    async def mounts(self) -> Mapping[str, str]:
        """Return the folders that can be mounted; see `Containers.mounts`."""
        return {name: mount.target for name, mount in sorted(self.settings.allowed.mounts.items())}

    async def mounted(self, container_id: str) -> Sequence[str]:
        """Return the names of the folders that are mounted in a container; none if it does not exist."""
        row = await self._store.container(container_id)
        return shown(row.resources).get("mounts", ()) if row is not None else ()

    async def network_bound(self) -> Mapping[str, Any]:
        """Return the operator's policy; see `NetworkedContainers`."""
        return await self._lifecycle.networks.bound.offered()

    async def network(self, container_id: str) -> NetworkReport:
        """Return a container's policy and what it used; see `NetworkedContainers`."""
        row = await self._row(container_id)
        bound, used = self._lifecycle.networks.bound, self._lifecycle.networks.used(container_id)
        return NetworkReport(
            network_policy.in_effect(row.network, await bound.known()),
            await bound.offered(),
            *used,
        )

    async def network_policy(self, container_id: str) -> Mapping[str, Any]:
        """Return the policy in effect, as the API's `network_policy`; `disabled` for an unknown container."""
        row = await self._store.container(container_id)
        bound = await self._lifecycle.networks.bound.read()  # each turn asks: presets do not become stale
        return network_policy.in_effect(row.network if row else "", bound)

    async def set_network(
        self, container_id: str, policy: Mapping[str, Any], *, again: bool = False
    ) -> ContainerCreateResponse:
        """Replace a container's policy; see `NetworkedContainers`.

        `again`: a request repeats its policy. One that asks then keeps the hosts that were allowed since.
        """
        networks = self._lifecycle.networks
        async with networks.lock(container_id):
            row = await self._row(container_id)
            change = await networks.changing(row, policy, again=again)
            if change is not None:
                await self._change_network(row, change)
        return await self._resource(await self._row(container_id))

    async def _change_network(self, row: ContainerRow, change: NetworkChange) -> None:
        """Change a container's network in its row, in this process and in its sandbox. Hold its lock."""
        networks = self._lifecycle.networks
        if change.ports and row.status in _OPEN:
            with suppress(SandboxGone):  # its next sandbox begins with these ports
                await open_ports(await self.channel(row.id, restore=False), change.ports)
        await self._store.put_network(row.id, change.network.as_json())
        attachment = self._lifecycle.held(row.id)
        try:
            async with nullcontext() if attachment is None else attachment.steady() as channel:
                await networks.apply(row.id, change, channel)
        finally:
            if await self._store.container(row.id) is None:  # it was deleted meanwhile
                networks.forget(row.id)
        self.audit.write("network", container=row.id, **change.described())

    def calling(self, container_id: str, caller: RunningCall) -> AbstractContextManager[None]:
        """Attribute a container's connections that begin meanwhile to a call, if it is the only one."""
        return self._lifecycle.networks.calling(container_id, caller)

    def take_used(self, container_id: str, response_id: str) -> Sequence[Destination]:
        """Return what the connections of a turn have used that ended so far, once."""
        return self._lifecycle.networks.take_used(container_id, response_id)

    def take_refusals(self, container_id: str | None) -> Sequence[str]:
        """Return a line for each destination that a container was refused since the last call."""
        return self._lifecycle.networks.take_refusals(container_id) if container_id is not None else ()

    async def is_alive(self, container_id: str) -> bool:
        """Return whether it can be used now, perhaps after a restore. Raises `EngineUnavailable`."""
        row = await self._store.container(container_id)
        if row is None or row.backend != (await self._lifecycle.engine()).name:
            return False
        row = await self._lifecycle.look(row)
        if row.status == "expired":
            return await self.checkpoints.of_expired(container_id) is not None
        return row.status != "dead"

    @asynccontextmanager
    async def use(
        self, container_id: str, *, to_run: bool = False, turn: bool = False
    ) -> AsyncGenerator[Channel, None]:
        """Hold a container's channel for one operation. The container neither pauses nor expires meanwhile.

        An expired container is brought back if there is a checkpoint of it. `to_run` says that commands
        follow: a paused container wakes for them, and not for files. During a `turn` it does not go back to a
        snapshot. Raises `NotFound`, `InvalidRequest` when it has expired for good, `SandboxGone`,
        `SandboxUnreachable`, `EngineUnavailable`.
        """
        channel = await self.channel(container_id)
        attachment = self._lifecycle.attachment(container_id)
        attachment.begin(turn=turn)
        before = attachment.put_back
        if to_run and attachment.paused:
            attachment.paused = False
            self.audit.write("wake", container=container_id)
        try:
            yield channel
        except SandboxGone as error:
            if attachment.put_back != before:
                raise went_back(container_id) from error
            await self.channel(container_id, restore=False)  # raises if it is really dead
            raise SandboxUnreachable(
                f"The connection to container {container_id} was lost, but it is still running.",
                hint="Try again.",
            ) from error
        finally:
            attachment.end(turn=turn)
            if not attachment.is_used():  # else its last user does so, and its expiry waits for that
                await self._store.touch_container(container_id, time.time())

    def attachment(self, container_id: str) -> Attachment:
        """Return what this process holds of a container."""
        return self._lifecycle.attachment(container_id)

    async def channel(self, container_id: str, *, restore: bool = True) -> Channel:
        """Return the open channel to a container, opened (again) where there is none.

        Without `restore`, a container that has ended is not brought back. Errors as in `use`.
        """
        # Before the lock: a running expiry sees the touch and leaves the container alone.
        row = _there(await self._store.touch_container(container_id, time.time()), container_id)
        attachment = self._lifecycle.attachment(container_id)
        if row.status == "running" and (channel := attachment.open) is not None:
            return channel
        async with attachment.lock:
            row = await self._row(container_id)
            channel = await self._lifecycle.attach(row, self._allowance, restore=restore)
            await self._store.touch_container(container_id, time.time())
            self.refresh()  # later uses only put off the moment that it expires
            return channel

    async def was_brought_back(self, container_id: str) -> Return | None:
        """Make a container ready for use. Return what it was restored from since the last call, if it was.

        Errors as in `use`.
        """
        await self.channel(container_id)
        attachment = self._lifecycle.attachment(container_id)
        brought_back, attachment.brought_back = attachment.brought_back, None
        return brought_back

    async def checkpoint(self, container_id: str) -> Snapshot:
        """Keep a container's files, packages and shell; it goes on. Errors as in `snapshot`."""
        return await self._snapshots.take(container_id, "explicit")

    async def snapshot(
        self, container_id: str, *, name: str = "", automatic: bool = False
    ) -> ContainerSnapshot:
        """Keep what a container holds now; see `KeepsSnapshots`. Raises `LimitReached` too."""
        kind: Kind = "automatic" if automatic else "explicit"
        return shown_snapshot(await self._snapshots.take(container_id, kind, name))

    async def snapshots(self, container_id: str) -> Sequence[ContainerSnapshot]:
        """Return a container's snapshots; see `KeepsSnapshots`."""
        return await self._snapshots.all(container_id)

    async def delete_snapshot(self, container_id: str, snapshot_id: str) -> None:
        """Remove a snapshot; see `KeepsSnapshots`."""
        await self._snapshots.delete(container_id, snapshot_id)

    async def restore(self, container_id: str, snapshot_id: str) -> RestoredContainer:
        """Put a container back to one of its snapshots; see `KeepsSnapshots`. Raises `LimitReached` too."""
        row = await self._row(container_id)
        snapshot = await self._snapshots.one(container_id, snapshot_id)
        left = await self._going_back.restore(container_id, snapshot)
        self._files.forget(container_id)
        self.refresh()
        row = await self._row(container_id)
        return RestoredContainer(await self._resource(row), left.ended, left.lost)

    async def fork(
        self, container_id: str, *, snapshot_id: str | None = None, name: str | None = None
    ) -> ContainerCreateResponse:
        """Create a copy of a container, as it is or was; see `KeepsSnapshots`. Raises as `create` too."""
        if snapshot_id is not None:
            return await self.begin_from(await self._snapshots.one(container_id, snapshot_id), name)
        snapshot = await self._snapshots.take(container_id, "automatic", idle=True)
        try:
            return await self.begin_from(snapshot, name)
        finally:  # an engine may need it for as long as the copy lives; then it is pruned
            await asyncio.shield(self.checkpoints.remove(snapshot))

    async def begin_from(self, snapshot: Snapshot, name: str | None = None) -> ContainerCreateResponse:
        """Return a new container that begins with a checkpoint of this tenant's. Raises as `create`."""
        asked = await asked_like(self._lifecycle, snapshot)
        if name is not None:
            asked = replace(asked, name=name)
        row = await new_row(self._lifecycle, asked, tenant_of(snapshot))
        made = await self._create(row, snapshot, asked.secrets)
        await take_along(self._store, self.settings.skills, container_of(snapshot), made.id)
        return made

    async def sandboxes(self) -> Sequence[str]:
        """Return the ids of all sandboxes of this store that the engine has, in any state."""
        labels = {STORE_LABEL: await self._store.identity()}
        return [each.id for each in await (await self._lifecycle.engine()).list(labels)]

    async def _row(self, container_id: str) -> ContainerRow:
        return _there(await self._store.container(container_id), container_id)

    async def _resource(self, row: ContainerRow) -> ContainerCreateResponse:
        return await resource(self._lifecycle, row)

    def refresh(self) -> None:
        """Check again what has expired, and when the next container will."""
        self._lifecycle.timer.refresh()

    async def aclose(self) -> None:
        """Close the channel to every container; each lives on until its lease ends. Idempotent."""
        await self._lifecycle.aclose()


_OPEN = ("running", "restoring", "saving")
"""The statuses of a container whose sandbox was made with the ports of an earlier policy."""


def _there(row: ContainerRow | None, container_id: str) -> ContainerRow:
    if row is None:
        raise NotFound(f"There is no container {container_id!r}.", param="container_id")
    return row
