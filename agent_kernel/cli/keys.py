"""`agent-kernel keys`: create, list and revoke the API keys of this machine's server, and their limits."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from agent_kernel.cli import flags
from agent_kernel.cli.opened import table
from agent_kernel.config import Settings

if TYPE_CHECKING:
    from agent_kernel.runtime.access.keys import StoredKeys
    from agent_kernel.store.records import KeyRow

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    creating = actions.add_parser("create", help="create a key; it is shown only once")
    creating.add_argument(
        "name", metavar="NAME", help="name of its owner; everything created with the key belongs to the name"
    )
    limits = creating.add_argument_group(
        "limits", "The default for each is the server's; see: agent-kernel serve --help"
    )
    limits.add_argument("--turns", type=_count, metavar="N", help="turns running at the same time")
    limits.add_argument("--containers", type=_count, metavar="N", help="containers alive at the same time")
    limits.add_argument("--stored-bytes", type=_count, metavar="N", help="bytes of all its files")
    limits.add_argument("--requests-per-minute", type=_count, metavar="N", help="requests per minute")
    listing = actions.add_parser("list", help="list all keys, without their secrets")
    listing.add_argument("--json", action="store_true", help="print JSON")
    revoking = actions.add_parser("revoke", help="reject a key from now on; what was created with it is kept")
    revoking.add_argument("name", metavar="NAME")
    for sub in (creating, listing, revoking):
        flags.add_settings(sub, ("data_dir", "store"))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run the action and return the exit code."""
    from agent_kernel.keys import KeyLimits

    settings = flags.load(arguments)
    if arguments.action == "create":
        limits = KeyLimits(**{each.name: getattr(arguments, each.name) for each in fields(KeyLimits)})
        print(_with_keys(settings, lambda keys: keys.create(arguments.name, limits)))
        print("It cannot be shown again.", file=sys.stderr)
    elif arguments.action == "revoke":
        _with_keys(settings, lambda keys: keys.revoke(arguments.name))
        print(f"Revoked the key of {arguments.name}.")
    else:
        rows = _with_keys(settings, lambda keys: keys.all())
        print(json.dumps(list(map(_record, rows)), indent=1) if arguments.json else _table(rows))
    return 0


def _with_keys(settings: Settings, work: Callable[[StoredKeys], Awaitable[T]]) -> T:
    from agent_kernel.cli import compose
    from agent_kernel.runtime.access.keys import StoredKeys

    async def done() -> T:
        store = compose.store(settings)
        try:
            return await work(StoredKeys(store.rows))
        finally:
            await store.aclose()

    return asyncio.run(done())


def _record(row: KeyRow) -> dict[str, object]:
    """Return a key as a JSON object, without its secret."""
    revoked = None if row.revoked_at is None else int(row.revoked_at)
    known = {"name": row.name, "id": row.id, "created_at": int(row.created_at), "revoked_at": revoked}
    return {**known, **asdict(row.limits)}


def _table(rows: list[KeyRow]) -> str:
    if not rows:
        return "No keys."
    lines = [("NAME", "KEY", "MADE", "REVOKED", "TURNS", "CONTAINERS", "BYTES", "REQUESTS/MIN")]
    for row in rows:
        revoked = "-" if row.revoked_at is None else _day(row.revoked_at)
        limits = ["-" if most is None else str(most) for most in asdict(row.limits).values()]
        lines.append((row.name, f"ak-{row.id}-...", _day(row.created_at), revoked, *limits))  # type: ignore[arg-type]
    return table(lines)


def _day(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M")
