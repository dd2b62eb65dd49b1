"""The contract of blobs, for every kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent_kernel.errors import NotFound, TooLarge
from agent_kernel.store.blobs import Blobs
from tests.store.conftest import Open
from tests.store.object_storage import ObjectStorage

CHUNKS = (b"a" * 100_000, b"", b"b" * 300_000, b"end")


@pytest.fixture(params=["in the store", "in a bucket"])
def blobs_url(request: pytest.FixtureRequest) -> str:
    if request.param == "in the store":
        return ""
    server: ObjectStorage = request.getfixturevalue("buckets")
    return server.new()


@pytest.fixture
def blobs(opened: Open) -> Blobs:
    return opened().blobs


async def stream(*chunks: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


async def read(blobs: Blobs, id_: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.get(id_)])


async def test_a_blob_comes_back_as_put(blobs: Blobs, opened: Open) -> None:
    assert await blobs.sizes() == {}
    assert await blobs.put("file-1", stream(*CHUNKS)) == 400_003
    assert await blobs.put("file-2", stream()) == 0
    assert await read(opened().blobs, "file-1") == b"".join(CHUNKS)
    assert await read(blobs, "file-2") == b""
    assert await blobs.sizes() == {"file-1": 400_003, "file-2": 0}
    await blobs.delete("file-1")
    await blobs.delete("file-1")
    with pytest.raises(NotFound):
        await read(blobs, "file-1")
    assert await opened().blobs.sizes() == {"file-2": 0}


async def test_nothing_is_left_of_a_blob_that_fails(blobs: Blobs) -> None:
    with pytest.raises(TooLarge):
        await blobs.put("file-1", stream(*CHUNKS), 400_002)
    with pytest.raises(ZeroDivisionError):
        await blobs.put("file-2", stream(*CHUNKS, error=ZeroDivisionError()))
    begun = asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield CHUNKS[2]
        begun.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("file-3", hangs()))
    await begun.wait()
    assert await blobs.sizes() == {}, "it does not exist before it is complete"
    with pytest.raises(NotFound):
        await read(blobs, "file-3")
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert await blobs.sizes() == {}
    assert await blobs.put("file-1", stream(*CHUNKS), 400_003) == 400_003
