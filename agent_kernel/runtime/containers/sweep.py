"""The sweep: make store and engine agree again after an earlier process crashed."""

from __future__ import annotations

import asyncio
import logging
import time

from agent_kernel.each import each
from agent_kernel.errors import ConfigurationError, SandboxGone
from agent_kernel.runtime.containers.skills.folders import SkillFolders
from agent_kernel.runtime.observe.audit import OFF, AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxRef, container_of
from agent_kernel.sandboxes.pool import is_waiting
from agent_kernel.store.folder.identity import folder_id
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

STORE_LABEL = "agent_kernel.store"
"""The label with the id of the sandbox's store. A sweep touches no other store's sandboxes."""

LIVE = ("creating", "running", "restoring", "saving")
"""The statuses of a container that has, or is about to have, a sandbox."""

START_TIME = 300.0
"""Seconds within which any engine starts a sandbox. A start that takes longer was cut off by a crash."""


async def claim_place(backend: Backend, store: Rows) -> None:
    """Check that this process reaches the sandboxes of a store, as a server would take others for dead.

    Raises `ConfigurationError` for sandboxes in a folder if the store has some in another one.
    """
    folder = backend.capabilities().folder
    if folder is None:
        return
    try:
        ours = await asyncio.to_thread(folder_id, folder)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be used: {error.strerror}.",
            hint="Set AGENT_KERNEL_DATA_DIR to a folder that can be written.",
        ) from None
    if await store.claim_sandboxes(ours) != ours:
        raise ConfigurationError(
            f"The {backend.name} sandboxes of this store belong to another machine or data folder, and this"
            " server cannot reach them.",
            hint="Servers on several machines need sandboxes that all of them reach: set"
            " AGENT_KERNEL_SANDBOX=docker with one engine for all. If the folder is lost and no server uses"
            " it, run in the database: DELETE FROM meta WHERE key = 'sandboxes'",
        )


async def sweep(
    backend: Backend,
    store: Rows,
    audit: AuditLog = OFF,
    *,
    keeps: bool = False,
    skills: SkillFolders | None = None,
) -> None:
    """Remove this store's sandboxes that can no longer be used, and record the containers that died.

    That is: in whatever state (made but never started, paused, dead), those without a container, those of an
    ended one, those whose start was cut off, and those waiting in the pool of a process that has died. Other
    processes may use the same store at this moment: what they run or are just making is left alone. With
    `keeps`, a dead sandbox of a running container is left too: its next use, or its expiry, keeps its files.
    Raises `EngineUnavailable`.
    """
    now = time.time()
    refs = {ref.id: ref for ref in await backend.list({STORE_LABEL: await store.identity()})}
    rows = {row.sandbox_id: row for row in await store.containers() if row.backend == backend.name}

    async def remove_left_over(ref: SandboxRef) -> None:
        if _is_left_over(ref, rows.get(ref.id), now, keeps):
            log.info("Removing sandbox %s, left by an earlier run.", ref.id)
            await backend.delete(ref)
            tenant = rows[ref.id].tenant if ref.id in rows else ""
            audit.of(tenant).write("sweep", container=ref.id, state=ref.status)

    async def settle(row: ContainerRow) -> None:
        found = refs.get(row.sandbox_id)
        alive = found is not None and (keeps or found.status != "dead")
        await _settle(row, alive, store, now)

    await each(rows.values(), lambda row: _look_again(row, refs, backend))
    await each(list(refs.values()), remove_left_over)
    await each(rows.values(), settle)
    if skills is not None:
        used = {container_of(ref.id) for ref in await backend.list()}  # of other stores too
        await asyncio.to_thread(skills.sweep, used)


async def _look_again(row: ContainerRow, refs: dict[str, SandboxRef], backend: Backend) -> None:
    """A sandbox may have come to life between the engine's list and the store's, which calls it running."""
    ref = refs.get(row.sandbox_id)
    if row.status == "running" and (ref is None or ref.status == "dead"):
        try:
            refs[row.sandbox_id] = await backend.get(row.sandbox_id)
        except SandboxGone:
            refs.pop(row.sandbox_id, None)


async def _settle(row: ContainerRow, alive: bool, store: Rows, now: float) -> None:
    """Record a container's new status."""
    if row.status == "running" and not alive:
        await store.end_container(row.id, "expired" if row.expires_at <= now else "dead")
    elif is_busy(row, now):
        return
    elif row.status == "creating":
        await store.delete_container(row.id)
    elif row.status == "saving":  # its dead sandbox is still there
        await store.change_container(row.id, "saving", "running", row.last_active_at)
    elif row.status == "restoring":  # its checkpoint is still there
        await store.change_container(row.id, "restoring", "expired", row.last_active_at)


def _is_left_over(ref: SandboxRef, row: ContainerRow | None, now: float, keeps: bool) -> bool:
    if row is None:
        return not is_waiting(ref.labels)
    if row.status not in LIVE:
        return True
    if row.status in ("running", "saving"):
        return ref.status == "dead" and row.status == "running" and not keeps
    return not is_busy(row, now)


def is_busy(row: ContainerRow, now: float) -> bool:
    """Return whether a living process may be starting or saving its sandbox at this moment."""
    return row.status in ("creating", "restoring", "saving") and row.last_active_at > now - START_TIME
