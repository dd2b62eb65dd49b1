"""`agent-kernel containers`: list and manage the containers in this machine's store and backends."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.cli.opened import Opened, table
from agent_kernel.config import Settings
from agent_kernel.each import each
from agent_kernel.errors import NotFound

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Entry:
    """A container. `status` is the backend's if it knows the container, otherwise the store's."""

    id: str
    name: str
    sandbox: str
    status: str
    idle_seconds: int | None
    key: str = ""
    """Name of the API key that it was created with."""


@dataclass(frozen=True)
class _Chosen:
    id: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    from agent_kernel.cli import checkpoints, network

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list all containers, running ones first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    removing = actions.add_parser("rm", help="stop containers and delete their files")
    which = removing.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true", help="remove every container of this data folder")
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="containers to remove")
    attaching = actions.add_parser("attach", help="open a terminal in a container; Ctrl-] leaves it")
    attaching.add_argument("id", metavar="ID")
    for sub in (listing, removing, attaching, network.add_action(actions), *checkpoints.add_actions(actions)):
        flags.add_settings(sub, (*flags.WHERE, "audit"))


def run(arguments: argparse.Namespace) -> int:
    """Run the action and return the exit code."""
    settings = flags.load(arguments)
    if arguments.action == "list":
        entries = asyncio.run(_listed(settings))
        print(
            json.dumps([asdict(entry) for entry in entries], indent=1)
            if arguments.json
            else table_of(entries)
        )
    elif arguments.action == "rm":
        ids = None if arguments.all else list(arguments.ids)
        removed, failures = asyncio.run(_removed(settings, ids))
        print(f"{removed} container{'' if removed == 1 else 's'} removed.")
        for failure in failures:
            print(f"Not removed: {failure}", file=sys.stderr)
        return 1 if failures else 0
    elif arguments.action == "attach":
        from agent_kernel.cli.attach import attach

        return attach(settings, arguments.id)
    elif arguments.action == "network":
        from agent_kernel.cli import network

        network.run(settings, arguments.id, as_json=arguments.json)
    else:
        from agent_kernel.cli import checkpoints

        checkpoints.run(settings, arguments)
    return 0


def table_of(entries: list[Entry]) -> str:
    """Format the containers as a table. The KEY column appears only if a container has a key."""
    if not entries:
        return "No containers."
    rows = [("ID", "NAME", "SANDBOX", "STATUS", "IDLE", "KEY")]
    for entry in entries:
        idle = "-" if entry.idle_seconds is None else f"{entry.idle_seconds} s"
        rows.append((entry.id, entry.name, entry.sandbox, entry.status, idle, entry.key))
    if not any(entry.key for entry in entries):
        return table([row[:-1] for row in rows])
    return table(rows)


async def _listed(settings: Settings) -> list[Entry]:
    opened = Opened(settings)
    try:
        found = await opened.sandboxes()
        now = time.time()
        entries = []
        for row in await opened.store.containers():
            _, ref = found.pop(row.sandbox_id, (None, None))
            status = ref.status if ref is not None else row.status
            idle = int(now - row.last_active_at)
            entries.append(Entry(row.id, row.name, row.backend, status, idle, row.tenant))
        entries += [Entry(ref.id, "", backend.name, ref.status, None) for backend, ref in found.values()]
        return sorted(entries, key=lambda entry: (entry.status != "running", entry.idle_seconds or 0))
    finally:
        await opened.aclose()


async def _removed(settings: Settings, ids: list[str] | None) -> tuple[int, list[Exception]]:
    """Remove the containers `ids` (None: all). Return how many were removed, and the others' errors.

    Raises `NotFound` for an unknown id, before anything is removed.
    """
    opened = Opened(settings)
    try:
        found = await opened.sandboxes()
        rows = {row.id: row for row in await opened.store.containers()}
        unknown = [one for one in ids or [] if one not in rows and one not in found]
        if unknown:
            raise NotFound(f"There is no container {unknown[0]}.", hint="See: agent-kernel containers list")
        others = found.keys() - {row.sandbox_id for row in rows.values()}
        chosen = sorted({*rows, *others}) if ids is None else ids

        async def remove(one: _Chosen) -> None:
            sandbox = rows[one.id].sandbox_id if one.id in rows else one.id
            if sandbox in found:
                await opened.remove(*found[sandbox])
            await opened.store.delete_container(one.id)

        failures = await each([_Chosen(one) for one in chosen], remove)
        await opened.prune()
        return len(chosen) - len(failures), failures
    finally:
        await opened.aclose()
