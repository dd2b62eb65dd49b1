"""What is particular to a bucket: its URL, its credentials, uploads in parts, its failures in mid-upload."""

from __future__ import annotations

import asyncio
import logging
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import IamAwsProvider

from agent_kernel.errors import AgentKernelError, ConfigurationError, NotFound
from agent_kernel.store.blobs import Blobs
from agent_kernel.store.catalogue import open_store
from agent_kernel.store.s3.blobs import PART, S3Blobs
from agent_kernel.store.s3.bucket import Bucket, BucketAddress
from tests.store.object_storage import SECRET, ObjectStorage, serving
from tests.store.test_blobs import read, stream

PIECE = bytes(range(256)) * 1024
"""256 KiB."""


def blobs_of(url: str) -> S3Blobs:
    return S3Blobs(Bucket(BucketAddress.parse(url), tries=1))


async def pieces(count: int, before_last: Callable[[], object] = lambda: None) -> AsyncIterator[bytes]:
    for number in range(count):
        if number == count - 1:
            await asyncio.to_thread(before_last)
        yield PIECE


async def refused(blobs: Blobs, content: AsyncIterator[bytes], caplog: pytest.LogCaptureFixture) -> str:
    """Put a blob in vain; return the error's words. Nothing that is said or logged has the secret."""
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError) as caught:
        await blobs.put("file-1", content)
    assert caught.value.hint
    assert SECRET not in caplog.text + "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def uploads(buckets: ObjectStorage, url: str) -> list[Any]:
    """Uploads in parts that were neither completed nor aborted."""
    listed = buckets.client.list_multipart_uploads(Bucket=BucketAddress.parse(url).name)
    return list(listed.get("Uploads", ()))


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 2 * PART])
async def test_sizes_around_a_part(buckets: ObjectStorage, size: int) -> None:
    url = buckets.new()
    content = (PIECE * (size // len(PIECE) + 1))[:size]
    blobs = blobs_of(url)
    assert await blobs.put("file-1", stream(content)) == size
    assert await read(blobs, "file-1") == content
    assert await blobs.sizes() == {"file-1": size}
    assert uploads(buckets, url) == []


async def test_memory_of_an_upload_is_bounded(
    buckets: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its size: what it holds is measured where each part is sent."""
    sent: list[int] = []

    def send(client: Minio, bucket: str, key: str, part: bytes, *_: object) -> str:
        sent.append(len(part))
        return "etag"

    monkeypatch.setattr(Minio, "_create_multipart_upload", lambda *_: "upload")
    monkeypatch.setattr(Minio, "_upload_part", send)
    monkeypatch.setattr(Minio, "_complete_multipart_upload", lambda *_: None)
    blobs = blobs_of("s3://bucket")
    tracemalloc.start()
    try:
        assert await blobs.put("file-1", pieces(200)) == 200 * len(PIECE)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(sent) == PART
    assert most < 5 * PART, "50 MiB went through"


async def test_only_its_own_objects_are_listed(buckets: ObjectStorage) -> None:
    """None of them are the neighbours of the prefix."""
    url = buckets.new()
    address = BucketAddress.parse(url)
    for number in range(11):
        buckets.client.put_object(Bucket=address.name, Key=f"{address.prefix}file-{number}", Body=b"x")
    for other in ("some/file", "some/folder2/file", "some/folder/below/file"):
        buckets.client.put_object(Bucket=address.name, Key=other, Body=b"x")
    assert await blobs_of(url).sizes() == {f"file-{number}": 1 for number in range(11)}


async def test_files_from_before_the_bucket_stay(buckets: ObjectStorage, tmp_path: Path) -> None:
    before = open_store("sqlite", tmp_path).blobs
    await before.put("file-1", stream(b"older"))
    after = open_store("sqlite", tmp_path, buckets.new()).blobs
    await after.put("file-2", stream(b"newer"))
    assert await after.sizes() == {"file-1": 5, "file-2": 5}
    assert await read(after, "file-1") == b"older"
    await after.delete("file-1")
    assert await before.sizes() == {}
    with pytest.raises(NotFound):
        await read(after, "file-1")


async def test_a_missing_bucket(buckets: ObjectStorage, caplog: pytest.LogCaptureFixture) -> None:
    blobs = blobs_of(buckets.url("nothing-here"))
    assert "The bucket nothing-here does not exist." in await refused(blobs, stream(b"x"), caplog)
    with pytest.raises(ConfigurationError, match="does not exist"):
        await blobs.sizes()
    with pytest.raises(ConfigurationError, match="does not exist"):
        await read(blobs, "file-1")


@pytest.fixture
def checking(buckets: ObjectStorage) -> Iterator[ObjectStorage]:
    """The server checks keys and rights, which it does not otherwise."""
    assert buckets.guest
    buckets.new()
    httpx.post(f"{buckets.endpoint}/moto-api/reset-auth", content="0").raise_for_status()
    yield buckets
    httpx.post(f"{buckets.endpoint}/moto-api/reset-auth", content="inf").raise_for_status()


async def test_an_unknown_key(checking: ObjectStorage, caplog: pytest.LogCaptureFixture) -> None:
    words = await refused(blobs_of(checking.url("bucket-1")), stream(b"x"), caplog)
    assert "The credentials for the bucket bucket-1 are not valid (InvalidAccessKeyId)." in words


async def test_a_key_without_rights(
    buckets: ObjectStorage,
    checking: ObjectStorage,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in checking.guest.items():
        monkeypatch.setenv(name, value)
    words = await refused(blobs_of(checking.url("bucket-1")), stream(b"x"), caplog)
    assert "The bucket bucket-1 denies an upload." in words
    assert "s3:GetObject" in words
    assert checking.guest["AWS_SECRET_ACCESS_KEY"] not in caplog.text


def _no_role(_: IamAwsProvider) -> Credentials:
    raise ValueError("this machine has no role")


async def test_no_credentials(
    buckets: ObjectStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = buckets.new()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(IamAwsProvider, "retrieve", _no_role)
    assert "There are no credentials" in await refused(blobs_of(url), stream(b"x"), caplog)


async def test_a_bucket_that_goes_in_mid_upload(
    buckets: ObjectStorage, caplog: pytest.LogCaptureFixture
) -> None:
    url = buckets.new()
    name, blobs = BucketAddress.parse(url).name, blobs_of(url)
    count = 2 * PART // len(PIECE) + 1
    words = await refused(blobs, pieces(count, lambda: buckets.client.delete_bucket(Bucket=name)), caplog)
    assert f"The bucket {name} does not exist." in words
    buckets.client.create_bucket(Bucket=name)
    assert await blobs.sizes() == {}
    assert await blobs.put("file-1", pieces(count)) == count * len(PIECE), "it can be uploaded again"
    assert uploads(buckets, url) == []


async def test_a_service_that_goes_in_mid_upload(
    buckets: ObjectStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as server:
        blobs = blobs_of(server.new())
        count = PART // len(PIECE) + 2
        words = await refused(blobs, pieces(count, server.stop), caplog)
    assert "cannot be reached" in words


async def test_a_cancelled_upload_leaves_nothing(buckets: ObjectStorage) -> None:
    url, begun = buckets.new(), asyncio.Event()
    blobs = blobs_of(url)

    async def hangs() -> AsyncIterator[bytes]:
        yield PIECE * (PART // len(PIECE) + 1)
        begun.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("file-1", hangs()))
    await begun.wait()
    assert len(uploads(buckets, url)) == 1
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert uploads(buckets, url) == []


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIA:{SECRET}@bucket",
        f"s3://bucket?endpoint=https://AKIA:{SECRET}@127.0.0.1",
        f"s3://bucket?key={SECRET}",
        f"s3://bucket?{SECRET}",
        f"s3:{SECRET}",
        f"s3://bucket?endpoint=ftp://127.0.0.1&region={SECRET}",
        f"gs://{SECRET}",
        SECRET,
    ],
)
def test_a_wrong_url_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_BLOBS") as caught:
        open_store("sqlite", tmp_path, url)
    error: AgentKernelError = caught.value
    assert error.hint
    assert SECRET not in "".join(traceback.format_exception(error)) + error.hint


def test_parts_of_a_url() -> None:
    ours = BucketAddress.parse("s3://files")
    assert (ours.name, ours.prefix, ours.host, ours.secure) == ("files", "", "s3.amazonaws.com", True)
    address = BucketAddress.parse("s3://files/a/b/?endpoint=http://127.0.0.1:9000&region=eu-1")
    assert address == BucketAddress("files", "a/b/", "127.0.0.1:9000", False, "eu-1")
