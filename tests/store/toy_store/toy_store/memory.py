"""What the toy store remembers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from agent_kernel.store.records import (
    ContainerRow,
    FileRow,
    Json,
    KeptSkillRow,
    KeyRow,
    ResponseRow,
    SessionRow,
    SkillNote,
)


@dataclass
class Talk:
    tenant: str
    created_at: float
    metadata: Json
    container_id: str | None = None
    items: dict[str, tuple[Json, bool]] = field(default_factory=dict)


@dataclass
class Memory:
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    place: str | None = None
    deletions: int = 0
    responses: dict[str, tuple[str, ResponseRow]] = field(default_factory=dict)
    journals: dict[str, dict[int, str]] = field(default_factory=dict)
    items: dict[tuple[str, str], str] = field(default_factory=dict)
    talks: dict[str, Talk] = field(default_factory=dict)
    containers: dict[str, ContainerRow] = field(default_factory=dict)
    uploads: dict[str, set[str]] = field(default_factory=dict)
    sessions: dict[str, SessionRow] = field(default_factory=dict)
    skills: dict[str, dict[str, SkillNote]] = field(default_factory=dict)
    kept_skills: dict[str, tuple[str, KeptSkillRow]] = field(default_factory=dict)
    files: dict[str, tuple[str, FileRow]] = field(default_factory=dict)
    keys: dict[str, KeyRow] = field(default_factory=dict)
    approvals: set[tuple[str, str]] = field(default_factory=set)
    before: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    places: dict[str, dict[str, str]] = field(default_factory=dict)
