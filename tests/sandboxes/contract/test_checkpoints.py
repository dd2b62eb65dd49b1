"""Pause, checkpoints, restore and forks."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.errors import (
    SandboxError,
    SandboxFileError,
    SandboxGone,
)
from agent_kernel.sandboxes.base import WORKSPACE, Backend, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.optional import snapshots_of
from tests.sandboxes.inside import Sandbox, checkpoint, chunks, new_id, started
from tests.sandboxes.shared import SHARED, shared_backend, shared_run

pytestmark = SHARED
run = shared_run
backend = shared_backend


async def test_a_paused_sandbox_stands_still_and_goes_on(run: Sandbox) -> None:
    await run(
        "KEPT=1; (while :; do echo >>/tmp/ticks; sleep 0.01; done) & until [ -e /tmp/ticks ]; do :; done"
    )
    await run.channel.pause()
    before = (await run.channel.stat("/tmp/ticks")).size
    await asyncio.sleep(0.3)
    assert (await run.channel.stat("/tmp/ticks")).size == before
    await run.channel.put(f"{WORKSPACE}/file", chunks(b"moved meanwhile\n"))
    await run.channel.wake()
    assert (await run("echo $KEPT; cat file")).stdout == b"1\nmoved meanwhile\n"
    more = f"until [ $(wc -c </tmp/ticks) -gt {before} ]; do sleep 0.01; done"
    assert (await run(more, timeout=20)).outcome == Exited(0)


@pytest.mark.slow_on_gvisor
async def test_idle_a_sandbox_is_paused_until_the_next_command(run: Sandbox) -> None:
    await run("(while :; do echo >>/tmp/ticks; sleep 0.01; done) & until [ -e /tmp/ticks ]; do :; done")
    assert await run.channel.pause(idle=True)
    before = (await run.channel.stat("/tmp/ticks")).size
    await asyncio.sleep(0.2)
    assert (await run.channel.stat("/tmp/ticks")).size == before
    more = f"until [ $(wc -c </tmp/ticks) -gt {before} ]; do sleep 0.01; done"
    assert (await run(more, timeout=20)).outcome == Exited(0)


async def test_left_for_nothing_a_sandbox_goes_on(run: Sandbox) -> None:
    await run("KEPT=1; echo kept >/tmp/kept; sleep 1000 & echo $! >/tmp/pid")
    assert await run.channel.pause(idle=True, leaves=True)
    await run.channel.renew()
    assert (await run("echo $KEPT; cat /tmp/kept; kill $(cat /tmp/pid)")).stdout == b"1\nkept\n"


@pytest.mark.slow_on_gvisor
async def test_one_host_at_a_time_replaces_the_files(run: Sandbox) -> None:
    async def echo(channel: Channel) -> list[object]:
        return [event async for event in channel.run("echo on")]

    await run("echo >file")
    other, on = await Channel.open(await run.backend.stream(run.ref)), [Output("stdout", b"on\n"), Exited(0)]
    for ends in (run.channel.renew, run.channel.wake):
        assert await other.pause(idle=True), "two may look"
        assert await run.channel.pause(idle=True, leaves=True)
        assert not await other.pause(idle=True, leaves=True)
        with pytest.raises(SandboxError):
            await other.pause()
        await other.wake()
        waiting = asyncio.create_task(echo(other))
        await asyncio.sleep(0)
        await other.stat(f"{WORKSPACE}/file")  # is answered after the command has come
        assert not waiting.done()
        await ends()
        assert await waiting == on
    assert await other.pause(idle=True, leaves=True)
    waiting = asyncio.create_task(echo(run.channel))
    await asyncio.sleep(0)
    await other.aclose()
    assert await waiting == on, "a host that is gone holds nothing"


@pytest.mark.slow_on_gvisor
async def test_what_another_host_does_is_not_paused(run: Sandbox) -> None:
    other = await Channel.open(await run.backend.stream(run.ref))
    events = run.channel.run("echo one; read -t 0.5 <> <(:); echo two")
    assert await anext(events) == Output("stdout", b"one\n")
    assert not await other.pause(idle=True)
    assert [event async for event in events] == [Output("stdout", b"two\n"), Exited(0)]
    async with run.channel.terminal(24, 80) as terminal:
        await terminal.read()  # two streams have no order: now it is there
        assert not await other.pause(idle=True)
    await other.aclose()


@pytest.mark.slow_on_gvisor
async def test_held_paused_it_waits_for_the_host_that_holds_it(run: Sandbox) -> None:
    other = await Channel.open(await run.backend.stream(run.ref))
    assert await other.pause()
    running = asyncio.create_task(run("echo on"))
    await asyncio.sleep(0.2)
    assert not running.done()
    with pytest.raises(SandboxFileError, match="another host holds it"):
        await run.channel.pause()
    await other.aclose()  # whoever leaves lets go
    assert (await running).stdout == b"on\n"


async def test_a_checkpoint_keeps_files_packages_and_the_shell(run: Sandbox) -> None:
    await run(
        "mkdir -p 'a b'; echo one >'a b/file'; ln -s nowhere link; export X='two words'; f() { echo f; }"
    )
    await run("echo 'print(42)' >module.py; python3 -c 'import site, sys, os; print(os.environ[\"HOME\"])'")
    await run("mkdir -p ~/packages/extra; echo 'VALUE = 7' >~/packages/extra/__init__.py; cd 'a b'")
    snapshot = await checkpoint(run, owner="contract")
    try:
        await run("echo changed >file; rm ../module.py")
        async with started(run.backend, snapshot=snapshot.id) as fork:
            done = await fork('echo "$PWD $X"; f; cat file; ls -A ..; readlink ../link')
            assert done.stdout == b"/mnt/data/a b two words\nf\none\na b\nlink\nmodule.py\nnowhere\n"
            assert (await fork("cat ~/packages/extra/__init__.py")).stdout == b"VALUE = 7\n"
            await fork("echo mine >file")
        assert (await run("cat file")).stdout == b"changed\n"
        assert snapshot in await snapshots_of(run.backend).snapshots({"owner": "contract"})
        assert snapshot not in await snapshots_of(run.backend).snapshots({"owner": "somebody else"})
        assert snapshot.size > 0
    finally:
        await snapshots_of(run.backend).remove_snapshot(snapshot.id)
    assert snapshot not in await snapshots_of(run.backend).snapshots()
    await snapshots_of(run.backend).remove_snapshot(snapshot.id)


@pytest.mark.slow_on_gvisor
async def test_a_fork_of_a_fork_outlives_its_parents(run: Sandbox) -> None:
    backend = run.backend
    await run("echo 1 >>log")
    first = await checkpoint(run)
    async with started(backend, snapshot=first.id) as run:
        await run("echo 2 >>log")
        second = await checkpoint(run)
    await snapshots_of(backend).remove_snapshot(first.id)
    async with started(backend, snapshot=second.id) as run:
        assert (await run("cat log")).stdout == b"1\n2\n"
    await snapshots_of(backend).remove_snapshot(second.id)


@pytest.mark.slow_on_gvisor
async def test_an_unknown_checkpoint_is_said_and_leaves_nothing(backend: Backend) -> None:
    spec = SandboxSpec(new_id(), snapshot="nothing")
    with pytest.raises(SandboxGone, match="checkpoint nothing"):
        await backend.create(spec)
    assert spec.id not in [ref.id for ref in await backend.list()]


@pytest.mark.slow_on_gvisor
async def test_a_checkpoint_of_what_is_gone_is_said_and_leaves_nothing(backend: Backend) -> None:
    async with started(backend) as run:
        await backend.delete(run.ref)
        name = new_id()
        with pytest.raises(SandboxGone):
            await snapshots_of(backend).checkpoint(run.ref, name, {})
    assert name not in [snapshot.id for snapshot in await snapshots_of(backend).snapshots()]


@pytest.mark.slow_on_gvisor
async def test_checkpoint_that_is_too_large_is_not_made(run: Sandbox) -> None:
    snapshots, name = snapshots_of(run.backend), new_id()
    await run("head -c 3M /dev/urandom >file")
    with pytest.raises(SandboxError, match=r"would take \d{7} bytes, and it may take 1048576"):
        await snapshots.checkpoint(run.ref, name, {}, most=1 << 20)
    if run.backend.name == "docker":  # it would write the holes, too
        await run("truncate -s 1T sparse")
        with pytest.raises(SandboxError, match=r"would take \d{13} bytes"):
            await snapshots.checkpoint(run.ref, name, {}, most=1 << 39)
        await run("rm sparse")
    assert name not in [snapshot.id for snapshot in await snapshots.snapshots()]
    kept = await snapshots.checkpoint(run.ref, name, {}, most=1 << 30)
    await snapshots.remove_snapshot(kept.id)
    assert 3 << 20 <= kept.size < 1 << 30


@pytest.mark.slow_on_gvisor
async def test_what_a_command_has_closed_is_removed_all_the_same(backend: Backend) -> None:
    async with started(backend) as run:
        await run("mkdir -p shut/in; touch shut/in/file; chmod 500 shut/in; chmod 0 shut")
    with pytest.raises(SandboxGone):
        await backend.get(run.ref.id)
