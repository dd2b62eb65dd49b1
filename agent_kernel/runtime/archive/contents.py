"""What a session consists of in an archive: the session, its turns, and its container."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_kernel.runtime.archive.errors import ArchiveInvalid
from agent_kernel.runtime.kept import LARGEST_STATE, LONGEST_NAME

MOST_HEADS = 200
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_STATUSES = ("completed", "incomplete", "failed", "cancelled")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class ArchivedSession:
    """A kept session; see `runtime.kept.KeptSession`."""

    id: str
    name: str = ""
    created_at: int = 0
    updated_at: int = 0
    response_id: str | None = None
    container_id: str | None = None
    notebook: str = ""
    responses: Sequence[str] = ()
    state: Json = field(default_factory=dict)


@dataclass(frozen=True)
class ArchivedResponse:
    """A turn; see `store.records.ResponseRow`."""

    id: str
    created_at: float
    status: str
    model: str
    previous_id: str | None
    container_id: str | None
    request: Json
    input: Sequence[Json]
    response: Json


def read_session(found: Json) -> ArchivedSession:
    """Check a session. Raises `ArchiveInvalid`."""
    responses = found.get("responses", [])
    state = found.get("state", {})
    if not isinstance(responses, list) or len(responses) > MOST_HEADS or not isinstance(state, dict):
        raise ArchiveInvalid("its session is damaged")
    if len(json.dumps(state, ensure_ascii=False).encode()) > LARGEST_STATE:
        raise ArchiveInvalid(f"the state of its session has more than {LARGEST_STATE:,} bytes")
    return ArchivedSession(
        _id(found.get("id")),
        _words(found.get("name", "")),
        int(_seconds(found.get("created_at", 0))),
        int(_seconds(found.get("updated_at", 0))),
        _id_or_none(found.get("response_id")),
        _id_or_none(found.get("container_id")),
        _words(found.get("notebook", ""), 4096),
        [_id(each) for each in responses],
        state,
    )


def read_snapshots(found: Json, most: int) -> list[str]:
    """Return the ids of snapshots, oldest first. Raises `ArchiveInvalid`."""
    listed = found.get("snapshots")
    if not isinstance(listed, list) or len(listed) > most or len(set(map(str, listed))) < len(listed):
        raise ArchiveInvalid("its list of snapshots is damaged")
    return [_id(each) for each in listed]


def read_response(found: Json) -> ArchivedResponse:
    """Check a turn. Raises `ArchiveInvalid`."""
    request, given, response = found.get("request"), found.get("input"), found.get("response")
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise ArchiveInvalid("one of its turns is damaged")
    id_ = _id(found.get("id"))
    items = [*_items(given), *_items(response.get("output"))]
    if response.get("id") != id_ or found.get("status") not in _STATUSES:
        raise ArchiveInvalid("one of its turns is damaged")
    for item in items:
        if item.get("id") is not None:
            _id(item["id"])
    return ArchivedResponse(
        id_,
        _seconds(found.get("created_at")),
        str(found["status"]),
        _words(found.get("model")),
        _id_or_none(found.get("previous_id")),
        _id_or_none(found.get("container_id")),
        request,
        given if isinstance(given, list) else [],
        response,
    )


def _items(value: object) -> Sequence[Json]:
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and isinstance(each.get("type"), str) for each in value
    ):
        raise ArchiveInvalid("one of its turns has invalid items")
    return value


def _id(value: object) -> str:
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise ArchiveInvalid("it has an invalid id")


def _id_or_none(value: object) -> str | None:
    return None if value is None else _id(value)


def _words(value: object, most: int = LONGEST_NAME) -> str:
    if isinstance(value, str) and len(value) <= most and value.isprintable():
        return value
    raise ArchiveInvalid("it has an invalid name")


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 40:
        return float(value)
    raise ArchiveInvalid("it has an invalid time")
