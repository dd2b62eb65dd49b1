"""`agent-kernel session list`: the kept sessions of this machine's store."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_kernel.cli import compose, flags
from agent_kernel.cli.opened import table
from agent_kernel.config import Settings

if TYPE_CHECKING:
    from agent_kernel.store.records import SessionRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the form of the output."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the sessions, the last kept first, and return the exit code."""
    rows = asyncio.run(_sessions(flags.load(arguments)))
    if arguments.json:
        print(json.dumps([described(row) for row in rows], indent=1))
    elif rows:
        words = [("ID", "NAME", "KEPT", "NOTEBOOK")]
        words += [(row.id, row.name, when(row.updated_at), row.notebook) for row in rows]
        print(table(words))
    else:
        print("No kept sessions.")
    return 0


async def _sessions(settings: Settings) -> list[SessionRow]:
    store = compose.store(settings)
    try:
        return await store.rows.sessions()
    finally:
        await store.aclose()


def when(seconds: float) -> str:
    """Format a time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def described(row: SessionRow) -> dict[str, Any]:
    """Return a session as JSON, without the front end's state."""
    return {
        "id": row.id,
        "name": row.name,
        "created_at": int(row.created_at),
        "updated_at": int(row.updated_at),
        "response_id": row.response_id,
        "container_id": row.container_id,
        "notebook": row.notebook,
        "responses": [*row.responses],
        **({"key": row.tenant} if row.tenant else {}),
    }
