from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.runtime.uploads.retention import Retention
from agent_kernel.store.folder.blobs import FolderBlobs
from agent_kernel.store.records import FileRow, ResponseRow
from agent_kernel.store.rows import Rows
from agent_kernel.store.sqlite.store import sqlite_rows


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Rows]:
    store = sqlite_rows(tmp_path / "store.sqlite")
    yield store
    await store.aclose()


async def put(store: Rows, name: str, made: float) -> None:
    await store.put_response(ResponseRow(name, made, "completed", "m", None, None, {}, [], {"output": []}))


async def until_gone(store: Rows, name: str) -> None:
    async with asyncio.timeout(30):
        while await store.response(name) is not None:  # noqa: ASYNC110 (nobody is told of it)
            await asyncio.sleep(0.02)


async def test_each_response_goes_when_its_time_is_over(store: Rows, tmp_path: Path) -> None:
    now = time.time()
    await put(store, "old", now - 100)
    await put(store, "soon", now - 8)
    await put(store, "young", now + 1000)
    retention = Retention(store, FolderBlobs(tmp_path / "files"), 10)
    retention.start()
    await until_gone(store, "old")
    await until_gone(store, "soon")
    assert time.time() - now >= 1.9
    assert await store.response("young") is not None
    await retention.aclose()


async def test_without_a_time_only_uploads_go_that_are_over(store: Rows, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    now = time.time()
    await put(store, "old", 1.0)
    for name, expires_at in (("over", now - 1), ("valid", now + 1000), ("for ever", None)):
        await store.put_file(FileRow(name, 1.0, name, "user_data", 1, expires_at))
        (tmp_path / "files" / name).write_bytes(b"x")
    retention = Retention(store, FolderBlobs(tmp_path / "files"), None)
    retention.start()
    async with asyncio.timeout(30):
        while (tmp_path / "files" / "over").exists():  # noqa: ASYNC110 (nobody is told of it)
            await asyncio.sleep(0.02)
    assert [row.id for row in await store.files()] == ["valid", "for ever"]
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["for ever", "valid"]
    assert await store.response("old") is not None
    await retention.aclose()
