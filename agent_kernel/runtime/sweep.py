"""Bringing store and engine together after whatever happened to an earlier process."""

from __future__ import annotations

import logging
import time

from agent_kernel.runtime.store import ContainerRow, Store
from agent_kernel.sandboxes.base import Backend, SandboxRef

log = logging.getLogger(__name__)

STORE_LABEL = "agent_kernel.store"
"""Which store a sandbox belongs to; a sweep touches no other store's sandboxes."""

LIVE = ("creating", "running")
"""The statuses of a container that has, or is about to have, a sandbox."""

START_TIME = 300.0
"""Seconds that no engine needs to start a sandbox; a row in `creating` that is older was left by a crash."""


async def sweep(backend: Backend, store: Store) -> None:
    """Remove this store's sandboxes that nobody can use any more, and note the containers that died.

    Other processes may use the same store at this moment: what they run or are just making is left alone.
    Raises `EngineUnavailable`.
    """
    now = time.time()
    refs = {ref.id: ref for ref in await backend.list({STORE_LABEL: await store.identity()})}
    rows = {row.id: row for row in await store.containers() if row.backend == backend.name}
    for ref in refs.values():
        if _is_left_over(ref, rows.get(ref.id), now):
            log.info("Removing sandbox %s, left by an earlier run.", ref.id)
            await backend.delete(ref)
    for row in rows.values():
        alive = row.id in refs and refs[row.id].status != "dead"
        if row.status == "creating" and not _is_starting(row, now):
            await store.delete_container(row.id)
        elif row.status == "running" and not alive:
            await store.end_container(row.id, "expired" if row.expires_at <= now else "dead")


def _is_left_over(ref: SandboxRef, row: ContainerRow | None, now: float) -> bool:
    if row is None or row.status not in LIVE:
        return True
    if row.status == "creating":
        return not _is_starting(row, now)
    return ref.status == "dead"


def _is_starting(row: ContainerRow, now: float) -> bool:
    return row.status == "creating" and row.created_at > now - START_TIME
