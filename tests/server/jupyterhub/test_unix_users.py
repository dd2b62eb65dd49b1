"""Two users of one machine, whose kernels run turns themselves: neither reads the other's data folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Missing
from tests.forked import Forked

ALICE, BOB = 64_001, 64_002

LIVE = """
import asyncio, json, os, sys
from pathlib import Path
from agent_kernel.cli import compose
from agent_kernel.config import load

async def turn(folder):
    environ = {"AGENT_KERNEL_DATA_DIR": folder, "AGENT_KERNEL_MODEL": "scripted/demo", "HOME": folder}
    runtime = compose.local_runtime(load(environ=environ, folders=()), lease=600)
    async def content():
        yield b"of one user"
    await runtime.files.create(filename="a.txt", content=content(), form={"purpose": "user_data"})
    async for event in runtime.respond({"input": "no such prompt"}):
        pass
    await runtime.aclose()

def refused(path):
    try:
        path.read_bytes() if path.is_file() else os.listdir(path)
    except PermissionError:
        return True
    return False

user, scratch, own, others = int(sys.argv[1]), *sys.argv[2:5]
asyncio.run(turn(scratch))  # imports everything while it may
os.setgroups([])
os.setgid(user)
os.setuid(user)
asyncio.run(turn(own))
kept = sorted(str(path) for path in Path(own).rglob("*") if path.is_file())
print(json.dumps([kept, [path for path in json.loads(others) if not refused(Path(path))]]))
"""


@pytest.fixture
def shared(missing: Missing) -> Iterator[Path]:
    """A folder in which everybody can make one of their own."""
    if os.geteuid() != 0:
        missing("Only root can run programs as two other users.")
    folder = Path(tempfile.mkdtemp(prefix="agent-kernel-users-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def lived(user: int, shared: Path, others: list[str]) -> tuple[list[str], list[str]]:
    """Run a turn as a user; return the files of their data folder, and the others that they could read."""
    words = (str(user), str(shared / f"scratch-{user}"), str(shared / f"data-{user}"), json.dumps(others))
    process = Forked("-c", LIVE, *words, environment=dict(os.environ), stderr=2)
    printed = process.stdout.read()
    process.wait()
    kept, read = json.loads(printed)
    return kept, read


def test_neither_user_reads_the_others_data_folder(shared: Path) -> None:
    alices, _ = lived(ALICE, shared, [])
    assert {Path(path).name for path in alices} >= {"store.sqlite"}
    assert any("/files/" in path for path in alices)
    folder = shared / f"data-{ALICE}"
    inside = [str(folder), *(str(path) for path in folder.rglob("*"))]
    bobs, read = lived(BOB, shared, inside)
    assert read == []
    assert bobs
    assert all(path.startswith(str(shared / f"data-{BOB}")) for path in bobs)
    _, read = lived(ALICE, shared, [str(shared / f"data-{BOB}"), *bobs])
    assert read == []
