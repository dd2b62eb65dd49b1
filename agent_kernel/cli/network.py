"""`agent-kernel containers network`: a container's network policy and its connections in the audit log."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_kernel.cli.opened import Opened, table
from agent_kernel.config import Settings
from agent_kernel.errors import NotFound

_MOST = 1000
"""Connections that are shown: the newest."""


def add_action(actions: Any) -> argparse.ArgumentParser:
    """Add the action to `actions` and return its parser."""
    parser: argparse.ArgumentParser = actions.add_parser(
        "network", help="show what a container may connect to, and its connections in the audit log"
    )
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(settings: Settings, container_id: str, *, as_json: bool) -> None:
    """Print the policy and the connections. Raises `NotFound` for an unknown container."""
    policy, operator = asyncio.run(_policies(settings, container_id))
    found = list(_connections(_log_files(settings), container_id))[-_MOST:]
    if as_json:
        print(json.dumps({"policy": policy, "operator": operator, "connections": found}, indent=1))
        return
    print(f"allowed: {_listed(policy)}\nthe operator allows: {_listed(operator)}")
    if secrets := policy.get("domain_secrets"):
        print("secrets:", ", ".join(f"{each['name']} for {each['domain']}" for each in secrets))
    if found:
        rows: list[tuple[str, ...]] = [
            ("TIME", "DESTINATION", "ADDRESS", "DECISION", "SENT", "RECEIVED", "RESPONSE", "COMMAND")
        ]
        rows += [_row(each) for each in found]
        print(table(rows))


async def _policies(settings: Settings, container_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from agent_kernel.cli import compose
    from agent_kernel.runtime.network.bound import NetworkBound
    from agent_kernel.runtime.network.policy import in_effect

    opened = Opened(settings)
    try:
        row = await opened.store.container(container_id)
        if row is None:
            raise NotFound(f"There is no container {container_id}.", hint="See: agent-kernel containers list")
        bound = NetworkBound(*compose.network(settings))
        return in_effect(row.network, await bound.known()), await bound.offered()
    finally:
        await opened.aclose()


def _log_files(settings: Settings) -> list[Path]:
    """Return the files of the audit log that exist, the oldest first."""
    where = settings.container.audit
    if where == "off":
        return []
    newest = Path(where).expanduser() if where else settings.runtime.data_path() / "audit.jsonl"
    numbered = [path for path in newest.parent.glob(newest.name + ".*") if path.suffix[1:].isdigit()]
    older = sorted(numbered, key=lambda path: -int(path.suffix[1:]))
    return [path for path in (*older, newest) if path.is_file()]


def _connections(files: list[Path], container_id: str) -> Iterator[dict[str, Any]]:
    for path in files:
        with path.open("rb") as lines:
            for line in lines:
                if container_id.encode() not in line or b'"connection"' not in line:
                    continue
                try:
                    record = json.loads(line)
                except ValueError:  # a full disk may have cut the line
                    continue
                if record.get("event") == "connection" and record.get("container") == container_id:
                    yield record


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    decision = record["decision"]
    if decision == "refused":
        decision += f": {record.get('reason', '')}"
    elif record.get("by", "policy") != "policy":
        decision += f" by {record['by']}"
    if failure := record.get("failure"):
        decision += f", failed: {failure}"
    return (
        record["time"][:19],
        f"{record['name']}:{record['port']}",
        record.get("address") or "-",
        decision,
        str(record.get("sent", 0)),
        str(record.get("received", 0)),
        record.get("response") or "-",
        record.get("command") or "-",
    )


def _listed(policy: dict[str, Any]) -> str:
    hosts = list(policy.get("allowed_domains") or [])
    return (
        ", ".join([*hosts, "others when a person is asked"] if policy["type"] == "ask" else hosts)
        or "no network"
    )
