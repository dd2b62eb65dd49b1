"""`agent-kernel containers`: what the store and the backends of this machine know, and what to do with it."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.cli.opened import Opened, table
from agent_kernel.config import Settings
from agent_kernel.errors import NotFound

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Entry:
    """One container. `status` is the backend's word where it has one, otherwise the store's."""

    id: str
    name: str
    sandbox: str
    status: str
    idle_seconds: int | None
    key: str = ""
    """The name of the key that it was made with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One of the actions."""
    from agent_kernel.cli import checkpoints

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all containers, live ones first")
    listing.add_argument("--json", action="store_true", help="for machines")
    removing = actions.add_parser("rm", help="end containers and remove all that is in them")
    which = removing.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true", help="every container of this data folder")
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="these")
    attaching = actions.add_parser("attach", help="a terminal in a container; Ctrl-] leaves it")
    attaching.add_argument("id", metavar="ID")
    for sub in (listing, removing, attaching, *checkpoints.add_actions(actions)):
        flags.add_settings(sub, (*flags.WHERE, "audit"))


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action."""
    settings = flags.load(arguments)
    if arguments.action == "list":
        entries = asyncio.run(_listed(settings))
        print(
            json.dumps([asdict(each) for each in entries], indent=1) if arguments.json else table_of(entries)
        )
    elif arguments.action == "rm":
        removed = asyncio.run(_removed(settings, None if arguments.all else list(arguments.ids)))
        print(f"{removed} container{'' if removed == 1 else 's'} removed.")
    elif arguments.action == "attach":
        from agent_kernel.cli.attach import attach

        return attach(settings, arguments.id)
    else:
        from agent_kernel.cli import checkpoints

        checkpoints.run(settings, arguments)
    return 0


def table_of(entries: list[Entry]) -> str:
    """Return the containers for people; whose they are, where some are somebody's."""
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
            _, ref = found.pop(row.id, (None, None))
            status = ref.status if ref is not None else row.status
            idle = int(now - row.last_active_at)
            entries.append(Entry(row.id, row.name, row.backend, status, idle, row.tenant))
        entries += [Entry(ref.id, "", backend.name, ref.status, None) for backend, ref in found.values()]
        return sorted(entries, key=lambda entry: (entry.status != "running", entry.idle_seconds or 0))
    finally:
        await opened.aclose()


async def _removed(settings: Settings, ids: list[str] | None) -> int:
    """End those of `ids` (None: all) and forget them. Raises `NotFound` before anything is removed."""
    opened = Opened(settings)
    try:
        found = await opened.sandboxes()
        rows = {row.id: row for row in await opened.store.containers()}
        unknown = [one for one in ids or [] if one not in rows and one not in found]
        if unknown:
            raise NotFound(f"There is no container {unknown[0]}.", hint="See: agent-kernel containers list")
        chosen = sorted({*rows, *found}) if ids is None else ids
        for one in chosen:
            if one in found:
                await opened.remove(*found[one])
            await opened.store.delete_container(one)
        await opened.prune()
        return len(chosen)
    finally:
        await opened.aclose()
