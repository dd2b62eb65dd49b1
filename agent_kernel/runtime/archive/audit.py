"""The entries of the audit log that belong to a session."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

MOST = 64 << 20
"""Bytes of entries; the newest stay."""


def audit_entries(path: Path | None, container_id: str | None, responses: Collection[str]) -> list[str]:
    """Return the lines about a container and turns, oldest first. Blocks."""
    found = [line for line in lines_of(path) if _belongs(line, container_id, responses)]
    size = 0
    for index in range(len(found) - 1, -1, -1):
        size += len(found[index])
        if size > MOST:
            return found[index + 1 :]
    return found


def lines_of(path: Path | None) -> Iterator[str]:
    """Yield all lines of an audit log, oldest first, those of rotated files too. Blocks."""
    if path is None:
        return
    rotated = sorted(
        (each for each in path.parent.glob(f"{path.name}.*") if each.suffix[1:].isdigit()),
        key=lambda each: -int(each.suffix[1:]),
    )
    for file in [*rotated, path]:
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as lines:
                yield from lines


def _belongs(line: str, container_id: str | None, responses: Collection[str]) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:  # a line that was cut off by a full disk
        return False
    return isinstance(entry, dict) and (
        (container_id is not None and entry.get("container") == container_id)
        or entry.get("response") in responses
    )
