"""`agent-kernel containers`: what the store and the backends of this machine know, and what to do with it."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.config import Settings
from agent_kernel.errors import EngineUnavailable, NotFound

if TYPE_CHECKING:
    from agent_kernel.runtime.observe.audit import AuditLog
    from agent_kernel.sandboxes.base import Backend, SandboxRef
    from agent_kernel.store.rows import Rows


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
    """The containers for people; whose they are, where some are somebody's."""
    if not entries:
        return "No containers."
    rows = [("ID", "NAME", "SANDBOX", "STATUS", "IDLE", "KEY")]
    for entry in entries:
        idle = "-" if entry.idle_seconds is None else f"{entry.idle_seconds} s"
        rows.append((entry.id, entry.name, entry.sandbox, entry.status, idle, entry.key))
    if not any(entry.key for entry in entries):
        return table([row[:-1] for row in rows])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first the heads, as columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


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


class Opened:
    """The store and the backends to ask: the configured one; with `auto` both, either may have been chosen.

    A silent engine is an error only if it was asked for.
    """

    def __init__(self, settings: Settings) -> None:
        from agent_kernel.cli import compose

        kind = settings.sandbox.sandbox
        self.settings = settings
        self.backends: list[Backend] = []
        if kind in ("auto", "docker"):
            self.backends.append(compose.docker(settings))
        if kind in ("auto", "bubblewrap") and not settings.sandbox.docker_runtime:
            self.backends.append(compose.bubblewrap(settings))
        self._opened = compose.store(settings)
        self.store: Rows = self._opened.rows
        self.audit: AuditLog = compose.audit_log(settings)

    async def labels(self) -> dict[str, str]:
        """What all sandboxes and checkpoints of this store carry."""
        from agent_kernel.runtime.containers.sweep import STORE_LABEL

        return {STORE_LABEL: await self.store.identity()}

    async def sandboxes(self) -> dict[str, tuple[Backend, SandboxRef]]:
        """The sandboxes of this store, by id."""
        labels, found = await self.labels(), {}
        for backend in self.backends:
            try:
                refs: Iterable[SandboxRef] = await backend.list(labels)
            except EngineUnavailable:
                if len(self.backends) == 1:
                    raise
                continue
            found.update({ref.id: (backend, ref) for ref in refs})
        return found

    async def remove(self, backend: Backend, ref: SandboxRef) -> None:
        """Remove a sandbox, see that it is gone, and write that down."""
        from agent_kernel.runtime.containers.lifecycle import remove_verified

        await remove_verified(backend, ref, self.audit)

    async def prune(self) -> int:
        """Remove the checkpoints that the settings do not keep; how many there were."""
        from agent_kernel.cli import compose
        from agent_kernel.runtime.containers.checkpoints import Checkpoints

        policy = compose.container_settings(self.settings, lease=0).checkpoints
        removed = 0
        for backend in self.backends:

            async def engine(backend: Backend = backend) -> Backend:
                return backend

            try:
                removed += len(await Checkpoints(engine, self.store, policy, self.audit).prune())
            except EngineUnavailable:
                if len(self.backends) == 1:
                    raise
        return removed

    async def aclose(self) -> None:
        """Release them."""
        for backend in self.backends:
            await backend.aclose()
        await self._opened.aclose()
        self.audit.close()
