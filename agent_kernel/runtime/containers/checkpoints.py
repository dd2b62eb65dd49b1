"""Checkpoints of containers: taken, found, and pruned by age and size.

A checkpoint's labels say what it was made from, so that backend and store agree after a crash. There are
three kinds. Those of expired containers restore them; automatic ones are moments that a client may go back
to. The policy prunes both, and they are removed with their container. Explicit ones stay until they are
removed by request.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from agent_kernel.each import each
from agent_kernel.errors import NotFound, SandboxError
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.settings import CheckpointPolicy
from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.optional import Snapshot, keeps_snapshots, snapshots_of, total_size
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

CONTAINER_LABEL = "agent_kernel.container"
KIND_LABEL = "agent_kernel.checkpoint"
NAME_LABEL = "agent_kernel.name"
MEMORY_LABEL = "agent_kernel.memory_limit"
RESOURCES_LABEL = "agent_kernel.resources"
NETWORK_LABEL = "agent_kernel.network"
KEY_LABEL = "agent_kernel.key"
"""The label with the owning tenant: the name of a key. Absent for the tenant without a named key."""

SHELL_LABEL = "agent_kernel.shell"
LOST = "lost"
"""The value of `SHELL_LABEL` in a checkpoint that was taken of a dead sandbox."""

TITLE_LABEL = "agent_kernel.title"
"""The label with a snapshot's own name, if it has one. `NAME_LABEL` has the container's."""

Kind = Literal["expired", "explicit", "automatic"]

PRUNED = ("expired", "automatic")
"""The kinds that the policy prunes, and that are removed with their container."""

SHELL_SECONDS = 30.0
"""Seconds to wait for a detached command before a checkpoint is taken without the shell's state."""


class Checkpoints:
    """The checkpoints of one store's containers on one backend, found by `engine` on first use."""

    def __init__(
        self,
        engine: Callable[[], Awaitable[Backend]],
        store: Rows,
        policy: CheckpointPolicy,
        audit: AuditLog,
    ) -> None:
        self._engine = engine
        self._store = store
        self._policy = policy
        self._audit = audit
        self._taken = 0
        self._pruned_at = time.monotonic()
        self.allowances: dict[str, Quota] = {}
        """Storage limits of the keys that this process has served."""

    async def take(self, row: ContainerRow, channel: Channel, kind: Kind, title: str = "") -> Snapshot:
        """Keep a container's files, packages and shell. The container is paused meanwhile.

        Raises `SandboxError`; nothing is left behind then, nor after a cancellation. One that the policy
        prunes is refused with `CheckpointTooLarge` if it is larger than all of them may be together, and an
        explicit one if it exceeds what its key may store.
        """
        snapshots_of(await self._engine())
        await self._save_shell(row, channel)
        await channel.pause()
        try:
            return await self._take(row, kind, {TITLE_LABEL: title} if title else {})
        finally:
            with suppress(SandboxError):  # the sandbox may be gone: its next use reports that
                await channel.wake()

    async def take_dead(self, row: ContainerRow) -> Snapshot:
        """Keep the files and packages of a container whose sandbox is dead, as `take` does at expiry.

        It has a label that says that the shell is lost. Raises `SandboxError`; nothing is left behind then.
        """
        return await self._take(row, "expired", {SHELL_LABEL: LOST})

    async def _take(self, row: ContainerRow, kind: Kind, more: Mapping[str, str]) -> Snapshot:
        backend, began = await self._engine(), time.monotonic()
        labels = {
            STORE_LABEL: await self._store.identity(),
            CONTAINER_LABEL: row.id,
            KIND_LABEL: kind,
            NAME_LABEL: row.name,
            MEMORY_LABEL: row.memory_limit or "",
            RESOURCES_LABEL: row.resources,
            NETWORK_LABEL: row.network,
            **({KEY_LABEL: row.tenant} if row.tenant else {}),
            **more,
        }
        ref = SandboxRef(row.sandbox_id, backend.name, "running")
        most = await self.room(row.tenant) if kind == "explicit" else await self._most(row)
        snapshots = snapshots_of(backend)
        snapshot = await snapshots.checkpoint(ref, f"snap_{secrets.token_hex(12)}", labels, most)
        self._audit.of(row.tenant).write(
            "checkpoint", container=row.id, snapshot=snapshot.id, kind=kind, size=snapshot.size,
            seconds=time.monotonic() - began,
        )  # fmt: skip
        return snapshot

    def _stored_bytes(self, tenant: str) -> int | None:
        allowance = self.allowances.get(tenant)
        return None if allowance is None else allowance.limits.stored_bytes

    async def room(self, tenant: str) -> int | None:
        """Return the bytes that a tenant's next explicit checkpoint may take; None: no limit."""
        most = self._stored_bytes(tenant)
        if most is None:
            return None
        theirs = [one for one in await self.all() if tenant_of(one) == tenant and kind_of(one) == "explicit"]
        return max(most - total_size(theirs), 0)

    async def _most(self, row: ContainerRow) -> int:
        """Return the bytes of the largest checkpoint that `prune` would not remove at once."""
        kept = row.id in await self._store.session_containers()
        most = self._policy.kept_size if kept else self._policy.total_size
        stored = self._stored_bytes(row.tenant)
        return most if stored is None else min(stored, most)

    async def _save_shell(self, row: ContainerRow, channel: Channel) -> None:
        try:
            async with asyncio.timeout(SHELL_SECONDS):
                await channel.save_shell()
        except TimeoutError:
            log.warning(
                "A command is running in container %s, so its checkpoint does not have the shell's state.",
                row.id,
            )

    async def all(self) -> list[Snapshot]:
        """Return every checkpoint of this store's containers, oldest first; none if the backend has none."""
        backend = await self._engine()
        if not keeps_snapshots(backend):
            return []
        return await snapshots_of(backend).snapshots({STORE_LABEL: await self._store.identity()})

    async def one(self, snapshot_id: str, tenant: str | None = None) -> Snapshot:
        """Return this tenant's checkpoint of this id (`tenant` None: any). Raises `NotFound`."""
        for snapshot in await self.all():
            if snapshot.id == snapshot_id and tenant in (None, tenant_of(snapshot)):
                return snapshot
        raise NotFound(
            f"There is no checkpoint {snapshot_id!r}.", hint="See: agent-kernel containers snapshots"
        )

    async def of(self, container_id: str, tenant: str | None = None) -> list[Snapshot]:
        """Return the snapshots of a container that may be gone, of this tenant (None: any), oldest first."""
        return [
            snapshot
            for snapshot in await self.all()
            if container_of(snapshot) == container_id
            and kind_of(snapshot) != "expired"
            and tenant in (None, tenant_of(snapshot))
        ]

    async def of_expired(self, container_id: str) -> Snapshot | None:
        """Return the newest checkpoint of an expired container."""
        found = [snapshot for snapshot in await self.all() if _is_of(snapshot, container_id)]
        return found[-1] if found else None

    async def forget(self, container_id: str, *, but: str | None = None) -> None:
        """Remove the checkpoints of a container's expiry, all or all `but` one."""
        found = [one for one in await self.all() if _is_of(one, container_id) and one.id != but]
        await each(found, self._removed)

    async def forget_all(self, container_id: str) -> None:
        """Remove a deleted container's checkpoints but the explicit ones."""
        theirs = [one for one in await self.all() if container_of(one) == container_id]
        await each([one for one in theirs if kind_of(one) in PRUNED], self._removed)

    async def remove(self, snapshot: Snapshot, reason: str | None = None) -> bool:
        """Remove one; False if it cannot be, because a running container began with it.

        `reason` says in the log and the audit log why it is not kept.
        """
        try:
            await snapshots_of(await self._engine()).remove_snapshot(snapshot.id)
        except SandboxError as error:
            log.info("The checkpoint %s stays for now: %s", snapshot.id, error)
            return False
        audit = self._audit.of(tenant_of(snapshot))
        if reason is not None:
            log.info("The checkpoint %s is removed: %s.", snapshot.id, reason)
        audit.write(
            "prune", snapshot=snapshot.id, container=container_of(snapshot), size=snapshot.size, reason=reason
        )
        return True

    async def remove_now(self, snapshot: Snapshot) -> None:
        """Remove one by request. Raises `SandboxError` if it cannot be."""
        await snapshots_of(await self._engine()).remove_snapshot(snapshot.id)
        self._audit.of(tenant_of(snapshot)).write(
            "prune", snapshot=snapshot.id, container=container_of(snapshot), size=snapshot.size
        )

    def pruning_due(self, size: int, seconds: float, share: int) -> bool:
        """Return whether to prune after another checkpoint of `size` bytes, and count from now if so.

        That is after `seconds`, or after one part in `share` of the total size was taken.
        """
        now = time.monotonic()
        self._taken += size
        if now < self._pruned_at + seconds and self._taken * share < self._policy.total_size:
            return False
        self._taken, self._pruned_at = 0, now
        return True

    async def _removed(self, snapshot: Snapshot) -> None:
        await self.remove(snapshot)

    async def prune(self) -> list[Snapshot]:
        """Remove what the policy does not keep; return what was removed.

        That is: what is too old, belongs to no container any more, or is over the total size or over what
        its key may store. Containers of kept sessions have a size and an age of their own. Automatic ones go
        first, then those of expired containers, oldest first.
        """
        now, known = time.time(), {row.id for row in await self._store.containers()}
        in_session = await self._store.session_containers()
        found = [snapshot for snapshot in await self.all() if kind_of(snapshot) in PRUNED]
        beyond: dict[str, str] = {}
        for kept, policy in ((False, self._policy), (True, self._policy.kept())):
            those = [one for one in found if (container_of(one) in in_session) is kept]
            beyond |= _beyond(those, known, policy, now)
        for tenant, allowance in self.allowances.items():
            if (most := allowance.limits.stored_bytes) is not None:
                policy = replace(self._policy, total_size=most, max_age=math.inf)
                theirs = [one for one in found if tenant_of(one) == tenant and one.id not in beyond]
                beyond |= _beyond(theirs, known, policy, now, first=in_session)
        removed: list[Snapshot] = []

        async def remove(snapshot: Snapshot) -> None:
            if await self.remove(snapshot, beyond[snapshot.id]):
                removed.append(snapshot)

        by_id = {one.id: one for one in found}
        await each([by_id[id_] for id_ in beyond], remove)
        return removed


def _beyond(
    snapshots: Collection[Snapshot],
    known: Collection[str],
    policy: CheckpointPolicy,
    now: float,
    first: Collection[str] = (),
) -> dict[str, str]:
    """Return the ids of the `snapshots` that a policy does not keep, and why, in the order of removal.

    Those of the containers that are `first` are kept before others, and what expired containers hold before
    moments of those that live.
    """
    beyond: dict[str, str] = {}
    layers: set[str] = set()
    total = 0
    for snapshot in sorted(snapshots, key=lambda one: (container_of(one) not in first, *_rank(one))):
        more = sum(size for name, size in snapshot.layers.items() if name not in layers)
        with_it = total + (more if snapshot.layers else snapshot.size)
        if container_of(snapshot) not in known:
            beyond[snapshot.id] = "its container was deleted"
        elif snapshot.created_at < now - policy.max_age:
            beyond[snapshot.id] = f"it is older than {policy.max_age:.0f} s"
        elif with_it > policy.total_size:
            why = f"its {snapshot.size} bytes put the checkpoints over the storage limit"
            beyond[snapshot.id] = why
        else:
            total = with_it
            layers |= snapshot.layers.keys()
    return dict(reversed(beyond.items()))


def _rank(snapshot: Snapshot) -> tuple[bool, float]:
    return kind_of(snapshot) == "automatic", -snapshot.created_at


def lost_shell(snapshot: Snapshot) -> bool:
    """Return whether a checkpoint has a dead sandbox's files, but not its shell's state."""
    return snapshot.labels.get(SHELL_LABEL) == LOST


def tenant_of(snapshot: Snapshot) -> str:
    """Return the tenant that owns a checkpoint; see `Rows.of`."""
    return snapshot.labels.get(KEY_LABEL, "")


def kind_of(snapshot: Snapshot) -> str:
    """Return the kind of a checkpoint; see `Kind`."""
    return snapshot.labels.get(KIND_LABEL, "")


def _is_of(snapshot: Snapshot, container_id: str) -> bool:
    return container_of(snapshot) == container_id and kind_of(snapshot) == "expired"


def container_of(snapshot: Snapshot) -> str:
    """Return the id of the container that a checkpoint was made of."""
    return snapshot.labels.get(CONTAINER_LABEL, "")
