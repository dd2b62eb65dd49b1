"""`agent-kernel session show ID`: what a kept session, or an archive of one, consists of."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

from agent_kernel.cli import compose, flags
from agent_kernel.cli.checkpoints import size
from agent_kernel.cli.session.archive import printable
from agent_kernel.cli.session.list import described, when
from agent_kernel.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the session and the form of the output."""
    parser.add_argument("id", metavar="ID", help="the session: its id, its name, or the file of an archive")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the session and return the exit code."""
    path = Path(arguments.id)
    if path.suffix and os.path.isfile(path):
        found = of_archive(path)
    else:
        found = asyncio.run(_of_session(flags.load(arguments), arguments.id))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    for name, value in found.items():
        if name in ("created_at", "updated_at"):
            value = f"{when(value)} UTC"
        listed = [printable(str(each)) for each in value] if isinstance(value, list) else []
        print(f"{name}: {len(listed)}" if isinstance(value, list) else f"{name}: {printable(str(value))}")
        for each in listed:
            print(f"  {each}")
    return 0


def of_archive(path: Path) -> dict[str, Any]:
    """Return what an archive holds. All of it is checked. Raises `ArchiveInvalid`, `NotFound`."""
    from agent_kernel.runtime.archive.reading import opened_archive

    with opened_archive(path) as archive:
        return {
            "id": archive.session.id,
            "name": archive.session.name,
            "made by": f"agent-kernel {archive.manifest.made_by}",
            "made at": when(archive.manifest.made_at),
            "turns": archive.responses,
            "files": archive.tree.files,
            "size": size(archive.tree.size),
            "members": [f"{each.name} {size(each.size)}" for each in archive.manifest.members],
            "left out": [*archive.manifest.left_out],
        }


async def _of_session(settings: Settings, name: str) -> dict[str, Any]:
    from agent_kernel.cli.session.found import find_session

    store = compose.store(settings)
    try:
        row = await find_session(store.rows, name)
        found = described(row)
        found["turns"] = len(await store.rows.chain(row.response_id)) if row.response_id else 0
        container = await store.rows.container(row.container_id) if row.container_id else None
        found["container"] = f"{container.backend}, {container.status}" if container else "none"
        return found
    finally:
        await store.aclose()
