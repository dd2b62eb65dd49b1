"""Stores of every earlier version: they migrate and lose nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.keys import KeyLimits
from agent_kernel.store.records import ContainerRow, FileRow, KeyRow, SkillNote
from agent_kernel.store.sqlite.migrations import MIGRATIONS
from agent_kernel.store.sqlite.store import sqlite_rows

Table = dict[str, Any]

OWNED = ("responses", "containers", "conversations", "sessions")
"""Tables that rows of other tables belong to, by the column in `OWNERS`."""
OWNERS = ("response_id", "container_id", "conversation_id", "session_id")


def filled(db: sqlite3.Connection) -> dict[str, Table]:
    """Put a row with a value in every column into every table; return what is there."""
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    written: dict[str, Table] = {}
    for name in sorted(names):
        if name.startswith("sqlite_") or name == "deletions":
            continue
        row: Table = {}
        for _, column, kind, *_ in db.execute(f"PRAGMA table_info({name})"):
            row[column] = 7 if kind in ("INTEGER", "REAL") else f"{column}-é"
        row |= {key: "one" for key in row if key in OWNERS}
        row |= {"id": "one"} if name in OWNED else {}
        places = ", ".join("?" for _ in row)
        db.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({places})", tuple(row.values()))
        written[name] = row
    return written


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_every_value_of_an_earlier_version_stays(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        for script in MIGRATIONS[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {version}")
        before = filled(db)
    rows = sqlite_rows(path)
    await rows.identity()
    await rows.aclose()
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        for name, row in before.items():
            found = [dict(each) for each in db.execute(f"SELECT * FROM {name}")]
            assert any(row.items() <= each.items() for each in found), name


async def test_a_store_of_the_build_before(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "version_5.sql").read_text())
    whole = sqlite_rows(path)
    try:
        for tenant, resumed in (("", 2), ("alice", 0)):
            rows, name = whole.of(tenant), tenant or "own"
            chain = await rows.chain(f"resp_{name}_2")
            assert [row.id for row in chain] == [f"resp_{name}_1", f"resp_{name}_2"]
            output = f"msg_out_{name}_2"
            assert chain[1].response["output"][0]["content"][0]["text"] == "é"
            assert await rows.item(output) == chain[1].response["output"][0]
            assert await rows.conversation(f"conv_{name}") == (1.5, {"topic": name}, f"cntr_{name}")
            items = await rows.conversation_items(f"conv_{name}")
            assert [item["id"] for item, _ in items] == [f"msg_in_{name}_2", output]
            assert await rows.containers() == [
                ContainerRow(f"cntr_{name}", "n", "docker", 1.5, 2.5, 20, "running", "1g", tenant)
            ]
            assert await rows.uploads(f"cntr_{name}") == {"/mnt/data/a"}
            assert await rows.skills(f"cntr_{name}") == [SkillNote("s", "d", "/mnt/skills/s", "digest")]
            assert await rows.files() == [FileRow(f"file-{name}", 1.5, "a.txt", "user_data", 7, 9.5)]
            assert await rows.answered_approvals(["mcpr_1", "mcpr_2"]) == {"mcpr_1"}
            running = await rows.response(f"resp_{name}_running")
            assert running is not None
            assert (running.owner, running.resumed) == ("dead", resumed)
            assert len(await rows.events(f"resp_{name}_running", -1, 10)) == 1
            assert len(await rows.events(f"resp_{name}_1", -1, 10)) == 1
        assert await whole.keys() == [KeyRow("alice", "id1", "hash", 1.5, None, KeyLimits(1, None, 3, 4))]
    finally:
        await whole.aclose()
