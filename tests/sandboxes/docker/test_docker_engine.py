"""What an engine can do to its sandboxes: keep a disk limit, fill up, turn read-only, crash and come back."""

from __future__ import annotations

import asyncio
import gc
import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError, SandboxGone, SandboxStartFailed, SandboxUnreachable
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.channel import Channel, CommandEvent, Exited, Output
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from tests.conftest import Missing
from tests.sandboxes.docker.private_engine import PrivateEngine, lacking

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(180),
    # docker-py does not close the socket of a connection that is refused.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module")
def private(docker_engine: None, missing: Missing) -> Iterator[tuple[PrivateEngine, str]]:
    """An engine of this module's own, and the name of the image in it."""
    if (why := lacking()) is not None:
        missing(why)
    with tempfile.TemporaryDirectory(prefix="agent-kernel-engine-", dir="/var/tmp") as folder:
        engine = PrivateEngine(Path(folder))
        try:
            engine.start(live_restore=True)
            yield engine, engine.load(DEFAULT_IMAGE)
        finally:
            engine.end()


@pytest.fixture
def engine(private: tuple[PrivateEngine, str], monkeypatch: pytest.MonkeyPatch) -> PrivateEngine:
    monkeypatch.setenv("DOCKER_HOST", private[0].url)
    return private[0]


@pytest.fixture
async def backend(engine: PrivateEngine, private: tuple[PrivateEngine, str]) -> AsyncIterator[DockerBackend]:
    backend = DockerBackend(private[1])
    yield backend
    left = await backend.list()
    for ref in left:
        await backend.delete(ref)
    await backend.aclose()
    with warnings.catch_warnings():  # as above, before another module's test is blamed for it
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert left == []


def new_spec(disk: int | None = None) -> SandboxSpec:
    return SandboxSpec(f"test-{secrets.token_hex(6)}", memory=256 << 20, disk=disk)


async def events(channel: Channel, command: str) -> list[CommandEvent]:
    return [event async for event in channel.run(command, timeout=60)]


async def printed(watched: AsyncIterator[CommandEvent], seen: bytes, until: bytes | None = None) -> bytes:
    """What was printed up to some words, or to the end."""
    async for event in watched:
        seen += event.data if isinstance(event, Output) else b""
        if until is not None and seen.endswith(until):
            break
    return seen


async def test_a_disk_limit_is_kept_and_reached_in_words(backend: DockerBackend) -> None:
    ref = await backend.create(new_spec(disk=64 << 20))
    assert backend.capabilities().disk_limit
    channel = await Channel.open(await backend.stream(ref))
    *_, end = await events(channel, "head -c 200M /dev/zero >/mnt/data/full")
    assert end == Exited(1, ("no disk space left: limit 64 MiB",))
    assert await events(channel, "rm -f /mnt/data/full; echo on") == [Output("stdout", b"on\n"), Exited(0)]
    await channel.aclose()
    await backend.delete(ref)


async def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    engine: PrivateEngine, backend: DockerBackend
) -> None:
    ref = await backend.create(new_spec())
    channel = await Channel.open(await backend.stream(ref))
    engine.fill()
    try:
        *_, end = await events(channel, "head -c 20M /dev/zero >/mnt/data/full")
        assert end == Exited(1, ("no space left in /mnt/data",))
        with pytest.raises(SandboxStartFailed, match=r"(?i)no space left") as caught:
            await backend.create(new_spec())
        assert "\n" not in caught.value.message
        assert [found.id for found in await backend.list()] == [ref.id]
        with pytest.raises(SandboxError, match=r"(?i)no space left"):
            await backend.checkpoint(ref, "full", {})
        assert await backend.snapshots() == []
    finally:
        engine.empty()
        await channel.aclose()
        await backend.delete(ref)


async def test_a_read_only_disk_is_one_clear_error_and_leaves_nothing(
    engine: PrivateEngine, backend: DockerBackend
) -> None:
    engine.cover()
    try:
        with pytest.raises(SandboxStartFailed, match="read-only file system"):
            await backend.create(new_spec())
        assert await backend.list() == []
    finally:
        engine.uncover()


async def test_a_crash_of_the_engine_loses_no_output(engine: PrivateEngine, backend: DockerBackend) -> None:
    ref = await backend.create(new_spec())
    channel = await Channel.open(await backend.stream(ref))
    watched = channel.run("for i in $(seq 30); do echo line $i; sleep 0.1; done; exit 3")
    seen = await printed(watched, b"", until=b"line 10\n")
    await asyncio.to_thread(engine.kill)
    with pytest.raises(SandboxUnreachable):
        seen = await printed(watched, seen)
    await channel.aclose()
    with pytest.raises(SandboxError):
        await backend.get(ref.id)
    await asyncio.to_thread(engine.start, live_restore=True)
    channel = await Channel.open(await backend.stream(ref))
    rest = [event async for event in channel.watch(1, offset=len(seen))]
    seen += b"".join(event.data for event in rest if isinstance(event, Output))
    assert seen == b"".join(b"line %d\n" % number for number in range(1, 31))
    assert rest[-1] == Exited(3)
    await channel.aclose()
    await backend.delete(ref)


async def test_an_engine_that_ends_its_containers_says_gone(
    engine: PrivateEngine, backend: DockerBackend
) -> None:
    await asyncio.to_thread(engine.kill)
    await asyncio.to_thread(engine.start, live_restore=False)
    ref = await backend.create(new_spec())
    channel = await Channel.open(await backend.stream(ref))
    watched = channel.run("echo begun; sleep 100")
    assert await anext(watched) == Output("stdout", b"begun\n")
    await asyncio.to_thread(engine.kill)
    with pytest.raises(SandboxUnreachable, match="engine"):
        await anext(watched)
    await channel.aclose()
    await asyncio.to_thread(engine.start, live_restore=False)
    with pytest.raises(SandboxGone):
        await backend.stream(ref)
    assert ref.id not in [found.id for found in await backend.list() if found.status == "running"]
    await backend.delete(ref)
    with pytest.raises(SandboxGone):
        await backend.get(ref.id)
