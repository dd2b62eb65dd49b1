"""The checkpoint actions of `agent-kernel containers`: checkpoint, fork, restore, snapshots, prune."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_kernel.cli.opened import Opened, containers_on, containers_with, table
from agent_kernel.config import Settings
from agent_kernel.errors import EngineUnavailable, NotFound

if TYPE_CHECKING:
    from agent_kernel.sandboxes.base import Backend
    from agent_kernel.sandboxes.optional import Snapshot


def add_actions(actions: Any) -> list[argparse.ArgumentParser]:
    """Add the checkpoint actions to `actions` and return their parsers."""
    taking = actions.add_parser("checkpoint", help="save a container's files, packages and shell state")
    taking.add_argument("id", metavar="ID")
    forking = actions.add_parser("fork", help="start a container with the files and shell state of another")
    forking.add_argument("id", metavar="ID")
    restoring = actions.add_parser("restore", help="start a container from a checkpoint")
    restoring.add_argument("snapshot", metavar="SNAPSHOT")
    listing = actions.add_parser("snapshots", help="list all checkpoints with their sizes, oldest first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    pruning = actions.add_parser("prune", help="remove checkpoints beyond the configured size and age")
    pruning.add_argument(
        "--all", action="store_true", help="remove every checkpoint, including those made on request"
    )
    pruning.add_argument("ids", nargs="*", default=[], metavar="SNAPSHOT", help="checkpoints to remove")
    return [taking, forking, restoring, listing, pruning]


def run(settings: Settings, arguments: argparse.Namespace) -> None:
    """Run one action and print its result."""
    action = arguments.action
    if action == "checkpoint":
        snapshot = asyncio.run(_taken(settings, arguments.id))
        print(f"{snapshot.id}  {size(snapshot.size)}")
    elif action in ("fork", "restore"):
        print(asyncio.run(_begun(settings, arguments)))
    elif action == "snapshots":
        snapshots = asyncio.run(_listed(settings))
        print(json.dumps(_records(snapshots), indent=1) if arguments.json else _table(snapshots))
    else:
        removed = asyncio.run(_pruned(settings, arguments))
        print(f"{removed} checkpoint{'' if removed == 1 else 's'} removed.")


async def _taken(settings: Settings, container_id: str) -> Snapshot:
    async with containers_with(settings, container_id) as containers:
        return await containers.checkpoint(container_id)


async def _begun(settings: Settings, arguments: argparse.Namespace) -> str:
    """Fork or restore a container and return the id of the new one."""
    if arguments.action == "fork":
        async with containers_with(settings, arguments.id) as containers:
            return (await containers.fork(arguments.id)).id
    opened = Opened(settings)
    try:
        backend, snapshot = await _find(opened, arguments.snapshot)
        async with containers_on(opened, backend) as containers:
            return (await containers.begin_from(snapshot)).id
    finally:
        await opened.aclose()


async def _find(opened: Opened, snapshot_id: str) -> tuple[Backend, Snapshot]:
    for backend, snapshot in await _all(opened):
        if snapshot.id == snapshot_id:
            return backend, snapshot
    raise NotFound(f"There is no checkpoint {snapshot_id}.", hint="See: agent-kernel containers snapshots")


async def _all(opened: Opened) -> list[tuple[Backend, Snapshot]]:
    """Return all checkpoints, oldest first. Raises `CapabilityMissing` if the only backend has none."""
    from agent_kernel.sandboxes.optional import keeps_snapshots, snapshots_of

    found = []
    for backend in opened.backends:
        if len(opened.backends) > 1 and not keeps_snapshots(backend):
            continue
        try:
            found += [
                (backend, each) for each in await snapshots_of(backend).snapshots(await opened.labels())
            ]
        except EngineUnavailable:
            if len(opened.backends) == 1:
                raise
    return sorted(found, key=lambda each: each[1].created_at)


async def _listed(settings: Settings) -> list[Snapshot]:
    opened = Opened(settings)
    try:
        return [snapshot for _, snapshot in await _all(opened)]
    finally:
        await opened.aclose()


async def _pruned(settings: Settings, arguments: argparse.Namespace) -> int:
    opened = Opened(settings)
    try:
        if not arguments.all and not arguments.ids:
            return await opened.prune()
        chosen = await _all(opened)
        if arguments.ids:
            chosen = [await _find(opened, each) for each in arguments.ids]
        from agent_kernel.sandboxes.optional import snapshots_of

        for backend, snapshot in chosen:
            await snapshots_of(backend).remove_snapshot(snapshot.id)
            opened.audit.write("prune", snapshot=snapshot.id, size=snapshot.size)
        return len(chosen)
    finally:
        await opened.aclose()


def _records(snapshots: list[Snapshot]) -> list[dict[str, object]]:
    """Return the checkpoints as JSON objects."""
    from agent_kernel.runtime.containers.checkpoints import CONTAINER_LABEL, KIND_LABEL, NAME_LABEL

    return [
        {
            "id": each.id,
            "sandbox": each.backend,
            "container": each.labels.get(CONTAINER_LABEL, ""),
            "name": each.labels.get(NAME_LABEL, ""),
            "kind": each.labels.get(KIND_LABEL, ""),
            "created_at": int(each.created_at),
            "size": each.size,
        }
        for each in snapshots
    ]


def _table(snapshots: list[Snapshot]) -> str:
    from agent_kernel.sandboxes.optional import total_size

    if not snapshots:
        return "No checkpoints."
    rows = [("ID", "CONTAINER", "NAME", "SANDBOX", "KIND", "MADE", "SIZE")]
    for each, record in zip(snapshots, _records(snapshots), strict=True):
        made = datetime.fromtimestamp(each.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        names = [str(record[name]) for name in ("id", "container", "name", "sandbox", "kind")]
        rows.append((names[0], names[1], names[2], names[3], names[4], made, size(each.size)))
    return f"{table(rows)}\nTogether: {size(total_size(snapshots))}"


def size(value: float) -> str:
    """Format a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
