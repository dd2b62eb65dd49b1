"""`agent-kernel containers`: what the store and the backends of this machine know, and the end of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.config import Settings
from agent_kernel.errors import EngineUnavailable, NotFound

if TYPE_CHECKING:
    from agent_kernel.runtime.sqlite import SqliteStore
    from agent_kernel.sandboxes.base import Backend, SandboxRef


@dataclass(frozen=True)
class Entry:
    """One container. `status` is the backend's word where it has one, otherwise the store's."""

    id: str
    name: str
    sandbox: str
    status: str
    idle_seconds: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """List, or remove."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all containers, live ones first")
    listing.add_argument("--json", action="store_true", help="for machines")
    removing = actions.add_parser("rm", help="end containers and remove all that is in them")
    which = removing.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true", help="every container of this data folder")
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="these")
    for sub in (listing, removing):
        flags.add_settings(sub, flags.WHERE)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action."""
    settings = flags.load(arguments)
    if arguments.action == "list":
        entries = asyncio.run(_listed(settings))
        print(
            json.dumps([asdict(entry) for entry in entries], indent=1) if arguments.json else _table(entries)
        )
    else:
        removed = asyncio.run(_removed(settings, None if arguments.all else list(arguments.ids)))
        print(f"{removed} container{'' if removed == 1 else 's'} removed.")
    return 0


def _table(entries: list[Entry]) -> str:
    if not entries:
        return "No containers."
    rows = [("ID", "NAME", "SANDBOX", "STATUS", "IDLE")]
    for entry in entries:
        idle = "-" if entry.idle_seconds is None else f"{entry.idle_seconds} s"
        rows.append((entry.id, entry.name, entry.sandbox, entry.status, idle))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(word.ljust(w) for word, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )


async def _listed(settings: Settings) -> list[Entry]:
    backends, store = await _open(settings)
    try:
        found = await _sandboxes(backends, store)
        now = time.time()
        entries = []
        for row in await store.containers():
            _, ref = found.pop(row.id, (None, None))
            status = ref.status if ref is not None else row.status
            entries.append(Entry(row.id, row.name, row.backend, status, int(now - row.last_active_at)))
        entries += [Entry(ref.id, "", backend.name, ref.status, None) for backend, ref in found.values()]
        return sorted(entries, key=lambda entry: (entry.status != "running", entry.idle_seconds or 0))
    finally:
        await _close(backends, store)


async def _removed(settings: Settings, ids: list[str] | None) -> int:
    """End those of `ids` (None: all) and forget them. Raises `NotFound` before anything is removed."""
    backends, store = await _open(settings)
    try:
        found = await _sandboxes(backends, store)
        known = {row.id for row in await store.containers()} | set(found)
        unknown = [one for one in ids or [] if one not in known]
        if unknown:
            raise NotFound(f"There is no container {unknown[0]}.", mend="See: agent-kernel containers list")
        chosen = sorted(known) if ids is None else ids
        for one in chosen:
            if one in found:
                backend, ref = found[one]
                await backend.delete(ref)
            await store.delete_container(one)
        return len(chosen)
    finally:
        await _close(backends, store)


async def _open(settings: Settings) -> tuple[list[Backend], SqliteStore]:
    """The backends to ask: the configured one; with `auto` both, for either may have been chosen earlier."""
    from agent_kernel.cli import compose
    from agent_kernel.runtime.sqlite import SqliteStore

    kind = settings.sandbox.sandbox
    backends: list[Backend] = []
    if kind in ("auto", "docker"):
        backends.append(compose.docker(settings))
    if kind in ("auto", "bubblewrap") and not settings.sandbox.docker_runtime:
        backends.append(compose.bubblewrap(settings))
    return backends, SqliteStore(compose.store_path(settings))


async def _sandboxes(backends: list[Backend], store: SqliteStore) -> dict[str, tuple[Backend, SandboxRef]]:
    """The sandboxes of this store, by id. A silent engine is an error only if it was asked for."""
    from agent_kernel.runtime.sweep import STORE_LABEL

    labels = {STORE_LABEL: await store.identity()}
    found = {}
    for backend in backends:
        try:
            refs = await backend.list(labels)
        except EngineUnavailable:
            if len(backends) == 1:
                raise
            continue
        found.update({ref.id: (backend, ref) for ref in refs})
    return found


async def _close(backends: list[Backend], store: SqliteStore) -> None:
    for backend in backends:
        await backend.aclose()
    await store.aclose()
