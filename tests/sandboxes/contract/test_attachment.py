"""Back-pressure, and hosts that come and go."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import (
    SandboxFileError,
    SandboxGone,
    SandboxUnreachable,
)
from agent_kernel.sandboxes.base import WORKSPACE, Backend, ByteStream
from agent_kernel.sandboxes.channel import Channel, Exited, Output, Skipped, TimedOut
from tests.sandboxes.inside import Sandbox, chunks, new_id, next_job, short_lease, started
from tests.sandboxes.shared import SHARED, shared_backend, shared_run

pytestmark = SHARED
run = shared_run
backend = shared_backend


async def test_a_slow_reader_slows_the_command(run: Sandbox) -> None:
    events = run.channel.run("yes 0123456789 | head -c 50000000; echo done >&2")
    assert isinstance(await anext(events), Output)
    assert (await run.channel.list(WORKSPACE)) == []  # other calls go on meanwhile
    total = 0
    async for event in events:
        total += len(event.data) if isinstance(event, Output) and event.stream == "stdout" else 0
    assert total > 49_000_000


async def test_endless_output_can_be_stopped(run: Sandbox) -> None:
    done = await run("yes", timeout=0.5)
    assert isinstance(done.outcome, TimedOut)
    assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_a_new_host_finds_the_shell_as_it_was(run: Sandbox) -> None:
    await run("KEPT=1")
    await run.channel.aclose()
    run.channel = await Channel.open(await run.backend.stream(run.ref))
    assert (await run("echo $KEPT")).stdout == b"1\n"


@pytest.mark.slow_on_gvisor
async def test_closing_a_stream_asks_no_verdict(run: Sandbox) -> None:
    """A read that waits returns the end: it does not look whether the sandbox has ended too."""
    stream = await run.backend.stream(run.ref)
    reading = asyncio.create_task(_to_the_end(stream))
    await asyncio.sleep(0)  # it waits
    await stream.aclose()
    assert await reading == b""
    assert (await run("echo on")).stdout == b"on\n"


async def _to_the_end(stream: ByteStream) -> bytes:
    while received := await stream.read(4096):
        pass
    return received


async def test_command_survives_its_host_and_is_read_from_an_offset(run: Sandbox) -> None:
    number = await next_job(run)
    events = run.channel.run("echo one; sleep 1; echo two; exit 3")
    assert await anext(events) == Output("stdout", b"one\n")
    newer = await Channel.open(await run.backend.stream(run.ref))
    await run.channel.aclose()
    run.channel = newer
    seen = [event async for event in newer.watch(number, offset=len(b"one\n"))]
    assert seen == [Output("stdout", b"two\n"), Exited(3)]
    assert [event async for event in newer.watch(number)] == [Output("stdout", b"one\ntwo\n"), Exited(3)]


@pytest.mark.slow_on_gvisor
async def test_a_command_is_found_by_its_name(run: Sandbox) -> None:
    name, known = f"resp/{new_id()}/0", await run.channel.commands()
    events = run.channel.run("echo one; sleep 0.5; exit 3", name=name)
    assert await anext(events) == Output("stdout", b"one\n")
    newer = await Channel.open(await run.backend.stream(run.ref))
    await run.channel.aclose()
    run.channel = newer
    assert await newer.commands() - known == {name}
    assert [event async for event in newer.watch(name)] == [Output("stdout", b"one\n"), Exited(3)]
    with pytest.raises(SandboxFileError, match="begun before"):
        await anext(newer.run("exit 3", name=name))
    with pytest.raises(SandboxFileError, match="no such command"):
        await anext(newer.watch(f"{name}1"))


@pytest.mark.slow_on_gvisor
async def test_output_that_is_no_longer_kept_is_reported(run: Sandbox) -> None:
    name, printed = new_id(), 3 << 20
    async for _ in run.channel.run(f"yes | head -c {printed}", name=name):
        pass
    first, *rest = [event async for event in run.channel.watch(name)]
    assert isinstance(first, Skipped)
    kept = sum(len(event.data) for event in rest if isinstance(event, Output))
    assert first.size + kept == printed
    assert kept > 500_000


@pytest.mark.slow_on_gvisor
async def test_several_hosts_work_side_by_side(run: Sandbox) -> None:
    await run("KEPT=1")
    events = run.channel.run("echo one; sleep 0.5; echo two")
    assert await anext(events) == Output("stdout", b"one\n")
    other = Sandbox(run.backend, run.ref, await Channel.open(await run.backend.stream(run.ref)))
    await other.channel.put(f"{WORKSPACE}/file", chunks(b"meanwhile\n"))
    queued = asyncio.create_task(other("cat file; echo $KEPT"))
    assert [event async for event in events] == [Output("stdout", b"two\n"), Exited(0)]
    assert (await queued).stdout == b"meanwhile\n1\n"
    await other.channel.aclose()
    assert (await run("echo on")).stdout == b"on\n"


@pytest.mark.slow_on_gvisor
async def test_of_two_who_watch_a_command_the_newer_goes_on(run: Sandbox) -> None:
    number = await next_job(run)
    events = run.channel.run("echo one; until [ -e go ]; do sleep 0.01; done; echo two")
    assert await anext(events) == Output("stdout", b"one\n")
    other = await Channel.open(await run.backend.stream(run.ref))
    watching = other.watch(number)
    assert await anext(watching) == Output("stdout", b"one\n")
    with pytest.raises(SandboxFileError, match="another host watches"):
        await anext(events)
    await other.put(f"{WORKSPACE}/go", chunks(b""))
    assert [event async for event in watching] == [Output("stdout", b"two\n"), Exited(0)]
    await other.aclose()


@pytest.mark.slow_on_gvisor
async def test_hosts_that_died_unseen_do_not_pile_up(run: Sandbox) -> None:
    channels = [await Channel.open(await run.backend.stream(run.ref)) for _ in range(8)]
    async with asyncio.timeout(60):
        await run.channel.closed.wait()
    with pytest.raises(SandboxUnreachable):
        await run("true")
    for channel in channels:
        assert not channel.closed.is_set()
        await channel.aclose()


@pytest.mark.slow_on_gvisor
async def test_the_lease_waits_for_the_last_host(backend: Backend) -> None:
    lease = await short_lease(backend)
    async with started(backend, lease=lease) as run:
        other = Sandbox(backend, run.ref, await Channel.open(await backend.stream(run.ref)))
        await run.channel.aclose()
        assert (await other(f"sleep {lease + 0.3}; echo on")).stdout == b"on\n"
        await other.channel.aclose()
        async with asyncio.timeout(60):
            while await lives(backend, run.ref.id):  # noqa: ASYNC110 (no event is told of it)
                await asyncio.sleep(0.05)


async def lives(backend: Backend, sandbox_id: str) -> bool:
    try:
        return (await backend.get(sandbox_id)).status == "running"
    except SandboxGone:
        return False
