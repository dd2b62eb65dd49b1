"""Rows that the tests of stores write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent_kernel.store.records import (
    ContainerRow,
    ResponseRow,
    SessionRow,
)


def turn(name: str, previous_id: str | None = None, **changes: Any) -> ResponseRow:
    row = ResponseRow(
        id=name, created_at=1.5, status="completed", model="m", previous_id=previous_id, container_id=None,
        request={"model": "m"}, input=[{"type": "message", "content": "é\0\U0001f600"}],
        response={"id": name, "output": []},
    )  # fmt: skip
    return replace(row, **changes)


def message(name: str, text: str = "") -> dict[str, str]:
    return {"id": name, "type": "message", "text": text}


def container(id_: str, **changes: Any) -> ContainerRow:
    row = ContainerRow(
        id=id_, name="n", backend="bubblewrap", created_at=100.0, last_active_at=100.0, expires_after=1,
        status="running", memory_limit=None,
    )  # fmt: skip
    return replace(row, **changes)


def session(id_: str, **changes: Any) -> SessionRow:
    row = SessionRow(
        id=id_, name="é", created_at=1.5, updated_at=2.5, response_id=None, container_id=None,
        notebook="/n.ipynb", state='{"a":"\\u0000é"}',
    )  # fmt: skip
    return replace(row, **changes)
