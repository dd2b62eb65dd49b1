"""One suite for every sandbox backend: what a command, a file and a sandbox's life are, wherever it runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import secrets
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import (
    InvalidRequest,
    LimitUnavailable,
    SandboxError,
    SandboxFileError,
    SandboxGone,
    SandboxUnreachable,
)
from agent_kernel.sandboxes.base import MANAGED_LABEL, WORKSPACE, Backend, SandboxRef, SandboxSpec, Snapshot
from agent_kernel.sandboxes.channel import Channel, Exited, Output, TimedOut


@dataclass
class Done:
    """A finished command."""

    outcome: Exited | TimedOut
    stdout: bytes
    stderr: bytes

    @property
    def code(self) -> int:
        assert isinstance(self.outcome, Exited)
        return self.outcome.code


@dataclass
class Sandbox:
    """A sandbox under test, with the channel into it."""

    backend: Backend
    ref: SandboxRef
    channel: Channel

    async def __call__(self, command: str, timeout: float | None = 60) -> Done:
        printed = {"stdout": b"", "stderr": b""}
        async for event in self.channel.run(command, timeout=timeout):
            if isinstance(event, Output):
                printed[event.stream] += event.data
            else:
                return Done(event, printed["stdout"], printed["stderr"])
        raise AssertionError("a command ended without an outcome")


def new_id() -> str:
    return f"test-{secrets.token_hex(6)}"


@contextlib.asynccontextmanager
async def started(backend: Backend, **fields: object) -> AsyncIterator[Sandbox]:
    ref = await backend.create(SandboxSpec(new_id(), **fields))  # type: ignore[arg-type]
    try:
        channel = await Channel.open(await backend.stream(ref))
        try:
            yield Sandbox(backend, ref, channel)
        finally:
            await channel.aclose()
    finally:
        await backend.delete(ref)


@pytest.fixture
async def run(backend: Backend) -> AsyncIterator[Sandbox]:
    async with started(backend) as sandbox:
        yield sandbox


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def sleepers(run: Sandbox, seconds: str) -> int:
    """How many processes inside sleep for a number of seconds that begins like this."""
    return int((await run(f"grep -alE '[s]leep.{seconds}' /proc/[0-9]*/cmdline 2>/dev/null | wc -l")).stdout)


# What a command is


async def test_outputs_are_apart_and_exact(run: Sandbox) -> None:
    done = await run("printf 'out\\0\\xff\\n'; printf err >&2; (exit 3)")
    assert (done.stdout, done.stderr, done.code) == (b"out\0\xff\n", b"err", 3)


async def test_starts_in_the_workspace(run: Sandbox) -> None:
    assert (await run("pwd")).stdout.decode().strip() == WORKSPACE


async def test_no_newline_is_added_or_lost(run: Sandbox) -> None:
    assert (await run("printf 'a\\n\\n'")).stdout == b"a\n\n"
    assert (await run("printf a")).stdout == b"a"


async def test_state_stays(run: Sandbox) -> None:
    await run("X=1; export Y='two words'; A=(1 '2 3'); alias hi='echo hi'; cd /tmp; umask 027")
    await run('f() { echo "f $1"; }')
    done = await run('echo "$X $Y ${A[1]} $PWD $(umask)"; f 4\nhi; env | grep ^Y=')
    assert done.stdout == b"1 two words 2 3 /tmp 0027\nf 4\nhi\nY=two words\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 7", 7), ("exec sh -c 'exit 5'", 5), ("set -e; false; echo no", 1), ("set -u; echo $nope_", 1)],
)
async def test_what_ends_a_shell_ends_only_the_command(run: Sandbox, command: str, code: int) -> None:
    await run("KEPT=yes; cd /tmp; g() { echo g; }")
    done = await run(command)
    assert (done.code, done.stdout) == (code, b"")
    assert (await run("echo $KEPT $PWD; g; false; echo on")).stdout == b"yes /tmp\ng\non\n"


async def test_exit_keeps_what_the_command_had_set(run: Sandbox) -> None:
    await run("cd /tmp; export NEW=1; exit 4")
    assert (await run("echo $NEW $PWD")).stdout == b"1 /tmp\n"


async def test_a_killed_shell_begins_again_where_the_last_command_ended(run: Sandbox) -> None:
    await run("export KEPT=1")
    assert (await run("LOST=1; kill -9 $$")).code == 137
    assert (await run("echo $KEPT$LOST")).stdout == b"1\n"


async def test_twice_in_a_row(run: Sandbox) -> None:
    await run("export KEPT=1")
    await run("kill -9 $$")
    await run("kill -9 $$")
    assert (await run("echo $KEPT")).stdout == b"1\n"


async def test_options_last_for_one_command(run: Sandbox) -> None:
    await run("set -euo pipefail; true")
    assert (await run("false; echo $nope_ on")).stdout == b"on\n"


async def test_an_exit_trap_runs_when_its_command_ends(run: Sandbox) -> None:
    assert (await run("trap 'echo \"it is\" over' EXIT; echo body")).stdout == b"body\nit is over\n"
    assert (await run("echo next")).stdout == b"next\n"


@pytest.mark.parametrize(
    "command", ["echo 'open", 'echo "open', "cat <<E\nopen", "if true; then", "f() {", "echo $((1"]
)
async def test_unterminated_text_does_not_wait(run: Sandbox, command: str) -> None:
    await run(command, timeout=20)
    assert (await run("echo on")).stdout == b"on\n"


async def test_heredocs(run: Sandbox) -> None:
    assert (await run("cat <<'E'\n$HOME `x`\nE")).stdout == b"$HOME `x`\n"
    large = "line of a long document\n" * 20_000
    assert (await run(f"cat <<'E' | wc -c\n{large}E")).stdout.strip() == str(len(large)).encode()


async def test_stdin_is_empty(run: Sandbox) -> None:
    assert (await run("cat; read x; echo $?", timeout=20)).stdout == b"1\n"


async def test_loops_and_returns_of_a_command_are_its_own(run: Sandbox) -> None:
    await run("break; continue; return 3")
    assert (await run("echo on")).stdout == b"on\n"


async def test_a_background_process_does_not_hold_the_command(run: Sandbox) -> None:
    assert (await run("sleep 60 & echo started", timeout=20)).stdout == b"started\n"
    done = await run("kill %1 && wait %1; echo $?; jobs")
    assert done.stdout == b"143\n"


async def test_a_background_process_lives_on_through_other_commands(run: Sandbox) -> None:
    await run("mkfifo pipe; (read line <pipe; echo got $line >answer) &")
    await run("exit 3")
    await run("echo hello >pipe")
    assert (
        await run("until [ -s answer ]; do sleep 0.01; done; cat answer", timeout=20)
    ).stdout == b"got hello\n"


async def test_background_output_goes_to_no_later_command(run: Sandbox) -> None:
    await run("mkfifo go; (read x <go; echo late; touch said) & echo early")
    done = await run("echo >go; until [ -e said ]; do sleep 0.01; done; echo mine", timeout=20)
    assert done.stdout == b"mine\n"


async def test_pipes_end_quietly(run: Sandbox) -> None:
    done = await run("yes | head -n 1", timeout=20)
    assert (done.stdout, done.stderr, done.code) == (b"y\n", b"", 0)


async def test_a_megabyte_of_environment(run: Sandbox) -> None:
    await run("for i in 1 2 3 4 5 6 7 8; do export BIG$i=$(head -c 100000 /dev/zero | tr '\\0' x); done")
    assert (await run("echo ${#BIG8}; env | wc -c | awk '{print ($1 > 800000)}'")).stdout == b"100000\n1\n"


async def test_a_long_line(run: Sandbox) -> None:
    done = await run("head -c 16777216 /dev/zero | tr '\\0' x")
    assert len(done.stdout) == 16 << 20
    assert set(done.stdout) == {ord("x")}


async def test_the_working_directory_may_vanish(run: Sandbox) -> None:
    await run("mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone")
    assert (await run("cd /; pwd")).stdout == b"/\n"
    await run("mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone; exit")
    assert (await run("echo on")).stdout == b"on\n"


async def test_commands_given_together_run_one_after_the_other(run: Sandbox) -> None:
    first, second = await asyncio.gather(run("echo a >x; sleep 0.2; cat x"), run("echo b >x; cat x"))
    assert (first.stdout, second.stdout) == (b"a\n", b"b\n")


async def test_a_nul_is_refused_in_words(run: Sandbox) -> None:
    with pytest.raises(SandboxFileError, match="NUL"):
        await run("echo \0")


# Time limits and interruption


async def test_a_timeout_kills_the_tree_and_keeps_the_output(run: Sandbox) -> None:
    command = "echo early; (setsid sleep 3210 &); (sleep 3211 &) & sh -c 'sleep 3212 & wait' ; echo late"
    done = await run(command, timeout=0.7)
    assert (done.outcome, done.stdout, done.stderr) == (TimedOut(), b"early\n", b"")
    assert await sleepers(run, "321") == 0


async def test_a_timeout_spares_earlier_background_processes_and_the_state(run: Sandbox) -> None:
    await run("sleep 4321 & KEPT=1")
    assert (await run("IN=2; cd /tmp; sleep 100", timeout=0.5)).outcome == TimedOut()
    assert (await run("echo $KEPT $IN $PWD")).stdout == b"1 2 /tmp\n"
    assert await sleepers(run, "4321") == 1


@pytest.mark.parametrize(
    "command",
    [
        "while :; do :; done",
        "trap '' INT TERM; sleep 100",
        "f() { sleep 9; f; }; f",
        "trap 'sleep 100' EXIT; sleep 100",
    ],
)
async def test_stubborn_commands_end_too(run: Sandbox, command: str) -> None:
    async with asyncio.timeout(20):
        assert (await run(command, timeout=0.3)).outcome == TimedOut()
        assert (await run("echo on")).stdout == b"on\n"


async def test_closing_the_generator_kills_the_command(run: Sandbox) -> None:
    events = run.channel.run("echo begun; sleep 5432")
    assert await anext(events) == Output("stdout", b"begun\n")
    async with asyncio.timeout(10):
        await events.aclose()
    assert await sleepers(run, "5432") == 0


async def test_cancelling_the_task_kills_the_command(run: Sandbox) -> None:
    begun = asyncio.Event()

    async def consume() -> None:
        async for _ in run.channel.run("echo begun; sleep 100"):
            begun.set()

    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await run("echo on", timeout=20)).stdout == b"on\n"


async def test_a_queued_command_can_be_given_up(run: Sandbox) -> None:
    first = asyncio.create_task(run("sleep 0.3; echo first"))
    await asyncio.sleep(0)
    second = asyncio.create_task(run("touch never"))
    await asyncio.sleep(0.05)
    second.cancel()
    assert (await first).stdout == b"first\n"
    assert await run.channel.list(WORKSPACE) == []


# Back-pressure and attachment


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


async def test_a_new_host_finds_the_shell_as_it_was(run: Sandbox) -> None:
    await run("KEPT=1")
    await run.channel.aclose()
    run.channel = await Channel.open(await run.backend.stream(run.ref))
    assert (await run("echo $KEPT")).stdout == b"1\n"


async def test_a_command_goes_on_without_its_host_and_is_read_from_an_offset(run: Sandbox) -> None:
    events = run.channel.run("echo one; sleep 1; echo two; exit 3")
    assert await anext(events) == Output("stdout", b"one\n")
    newer = await Channel.open(await run.backend.stream(run.ref))
    await run.channel.aclose()
    seen = [event async for event in newer.watch(1, offset=len(b"one\n"))]
    assert seen == [Output("stdout", b"two\n"), Exited(3)]
    assert [event async for event in newer.watch(1)] == [
        Output("stdout", b"one\n"),
        Output("stdout", b"two\n"),
        Exited(3),
    ]
    await newer.aclose()


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


async def test_of_two_who_watch_a_command_the_newer_goes_on(run: Sandbox) -> None:
    events = run.channel.run("echo one; sleep 0.5; echo two")
    assert await anext(events) == Output("stdout", b"one\n")
    other = await Channel.open(await run.backend.stream(run.ref))
    watching = other.watch(1)
    assert await anext(watching) == Output("stdout", b"one\n")
    with pytest.raises(SandboxFileError, match="another host watches"):
        await anext(events)
    assert [event async for event in watching] == [Output("stdout", b"two\n"), Exited(0)]
    await other.aclose()


async def test_hosts_that_died_unseen_do_not_pile_up(run: Sandbox) -> None:
    channels = [await Channel.open(await run.backend.stream(run.ref)) for _ in range(8)]
    async with asyncio.timeout(20):
        await run.channel.closed.wait()
    with pytest.raises(SandboxUnreachable):
        await run("true")
    for channel in channels:
        assert not channel.closed.is_set()
        await channel.aclose()


async def test_the_lease_waits_for_the_last_host(backend: Backend) -> None:
    async with started(backend, lease=0.5) as run:
        other = Sandbox(backend, run.ref, await Channel.open(await backend.stream(run.ref)))
        await run.channel.aclose()
        assert (await other("sleep 0.8; echo on")).stdout == b"on\n"
        await other.channel.aclose()
        async with asyncio.timeout(20):
            while await lives(backend, run.ref.id):  # noqa: ASYNC110 (no event is told of it)
                await asyncio.sleep(0.05)


async def lives(backend: Backend, sandbox_id: str) -> bool:
    try:
        return (await backend.get(sandbox_id)).status == "running"
    except SandboxGone:
        return False


# Files


@pytest.mark.parametrize("name", ["plain.csv", "with space", "new\nline", "ünï", "-dash", "a/b/c.txt"])
async def test_files_go_in_and_out(run: Sandbox, name: str) -> None:
    content = bytes(range(256)) * 1000
    stat = await run.channel.put(f"{WORKSPACE}/{name}", chunks(content[:1000], content[1000:]))
    assert (stat.path, stat.size) == (f"{WORKSPACE}/{name}", len(content))
    assert b"".join([piece async for piece in run.channel.get(stat.path)]) == content
    assert await run.channel.list(WORKSPACE) == [stat]
    assert await run.channel.stat(stat.path) == stat
    await run.channel.remove(stat.path)
    assert await run.channel.list(WORKSPACE) == []


async def test_an_upload_cut_short_leaves_nothing(run: Sandbox) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="broke"):
        await run.channel.put(f"{WORKSPACE}/part", broken())
    assert await run.channel.list(WORKSPACE) == []


async def test_a_download_may_be_given_up(run: Sandbox) -> None:
    await run("head -c 10000000 /dev/zero >big")
    content = run.channel.get(f"{WORKSPACE}/big")
    await anext(content)
    await content.aclose()
    assert (await run("echo on")).stdout == b"on\n"


async def test_missing_files_and_folders_are_errors_in_words(run: Sandbox) -> None:
    with pytest.raises(SandboxFileError, match="No such file"):
        await run.channel.stat(f"{WORKSPACE}/nothing")
    with pytest.raises(SandboxFileError, match="No such file"):
        await anext(run.channel.get(f"{WORKSPACE}/nothing"))
    with pytest.raises(SandboxFileError, match="not a regular file"):
        await run.channel.stat(WORKSPACE)
    with pytest.raises(SandboxFileError):
        await run.channel.put("/proc/nothing", chunks(b"x"))


async def test_links_are_not_listed(run: Sandbox) -> None:
    await run("ln -s /etc/passwd link; ln -s / root; echo x >file")
    assert [stat.path for stat in await run.channel.list(WORKSPACE)] == [f"{WORKSPACE}/file"]


# A sandbox's life


async def test_it_is_found_again_by_id_and_label(backend: Backend) -> None:
    async with started(backend, labels={"owner": "contract"}) as run:
        ref = await backend.get(run.ref.id)
        assert (ref.id, ref.backend, ref.status) == (run.ref.id, backend.name, "running")
        assert {"owner": "contract", MANAGED_LABEL: "1"}.items() <= dict(ref.labels).items()
        assert ref.id in [found.id for found in await backend.list({"owner": "contract"})]
        assert ref.id not in [found.id for found in await backend.list({"owner": "somebody else"})]


async def test_deleted_is_gone(backend: Backend) -> None:
    async with started(backend) as run:
        await backend.delete(run.ref)
        async with asyncio.timeout(20):
            await run.channel.closed.wait()
        with pytest.raises(SandboxGone):
            await run("echo on")
        with pytest.raises(SandboxGone):
            await backend.stream(run.ref)
        with pytest.raises(SandboxGone):
            await backend.get(run.ref.id)
        await backend.delete(run.ref)


async def test_a_shutdown_from_inside_ends_it(backend: Backend) -> None:
    async with started(backend) as run:
        await run.channel.shutdown()
        async with asyncio.timeout(20):
            await run.channel.closed.wait()


async def test_the_lease_ends_it_when_nobody_is_there(backend: Backend) -> None:
    async with started(backend, lease=0.5) as run:
        await run("sleep 100 & sleep 0.8")  # an attached host keeps it
        assert (await run("echo on")).stdout == b"on\n"
        await run.channel.aclose()
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await backend.get(run.ref.id)).status == "dead":
                        break
                except SandboxGone:
                    break
                await asyncio.sleep(0.05)


async def test_two_sandboxes_share_nothing(backend: Backend) -> None:
    async with started(backend) as one, started(backend) as two:
        await one("echo secret >file; echo secret >/tmp/file; sleep 7654 &")
        done = await two("ls; ls /tmp; grep -l 7654 /proc/[0-9]*/cmdline")
        assert b"file" not in done.stdout
        assert b"cmdline" not in done.stdout


# What is inside, and what is not


async def test_the_toolbox_is_there(run: Sandbox) -> None:
    code = "import numpy, pandas, matplotlib.pyplot as p; p.plot([1]); p.savefig('x.png')"
    done = await run(f'python3 -W error -c "{code}"')
    assert (done.code, done.stderr) == (0, b"")


async def test_there_is_no_network(run: Sandbox) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert (await run(f'python3 -c "{code}"')).stdout == b"['lo']\n"
    assert len((await run("cat /proc/net/route")).stdout.splitlines()) <= 1  # a heading and no route
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await run(f"exec 3<>/dev/tcp/127.0.0.1/{port}")).code == 1


async def test_privileges_cannot_grow(run: Sandbox) -> None:
    done = await run("grep ^CapEff /proc/self/status; mount -t tmpfs none /mnt; echo $?")
    lines = done.stdout.decode().split("\n")
    asked = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"  # PR_GET_NO_NEW_PRIVS
    assert (await run(f'python3 -c "{asked}"')).stdout == b"1\n"
    effective = int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)
    for dangerous in (
        12,
        16,
        17,
        19,
        21,
        23,
        24,
        25,
        27,
    ):
        assert not effective & (1 << dangerous)
    assert lines[-2] != "0"


async def test_the_kernel_of_the_host_cannot_be_set(run: Sandbox) -> None:
    settings = (
        "/proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sys/kernel/panic /proc/sysrq-trigger"
    )
    done = await run(f"for each in {settings}; do : 2>/dev/null >>$each && echo $each; done")
    assert done.stdout == b""


async def test_device_nodes_of_the_host_keep_their_modes(run: Sandbox) -> None:
    nodes = [Path("/dev", name) for name in ("full", "random", "tty", "urandom", "zero")]
    before = [(node.stat().st_mode, node.stat().st_uid) for node in nodes]
    try:
        await run("cd /dev; chmod 600 full random tty urandom zero; chown 3 full zero")
        assert [(node.stat().st_mode, node.stat().st_uid) for node in nodes] == before
    finally:
        for node, (mode, _) in zip(nodes, before, strict=True):
            if node.stat().st_mode != mode:
                node.chmod(stat.S_IMODE(mode))


# A shell for a person, and a fresh one for the agent


async def test_a_reset_begins_with_a_fresh_shell(run: Sandbox) -> None:
    await run("X=1; cd /tmp; sleep 6543 & echo x >/mnt/data/file")
    await run.channel.reset()
    assert (await run("echo [$X] $PWD; cat file")).stdout == b"[] /mnt/data\nx\n"
    assert await sleepers(run, "6543") == 1


async def test_a_terminal_has_a_size_an_echo_and_an_end(run: Sandbox) -> None:
    await run("cd /tmp")
    shown = b""
    async with run.channel.terminal(24, 100) as terminal:
        await terminal.write(b"stty size; pwd; tty\n")
        async with asyncio.timeout(20):
            while b"/dev/pts/" not in shown:
                piece = await terminal.read()
                assert isinstance(piece, bytes)
                shown += piece
            await terminal.resize(50, 132)
            await terminal.write(b"stty size; exit 4\n")
            while isinstance(piece := await terminal.read(), bytes):
                shown += piece
    assert piece == Exited(4)
    assert b"24 100\r\n" in shown
    assert b"/tmp\r\n" in shown
    assert b"50 132\r\n" in shown


async def test_leaving_a_terminal_hangs_up(run: Sandbox) -> None:
    async with run.channel.terminal(24, 80) as terminal:
        await terminal.write(b"echo be''gun; sleep 8642\n")
        shown = b""
        while b"begun" not in shown:
            piece = await terminal.read()
            assert isinstance(piece, bytes)
            shown += piece
        assert (await run("echo the agent goes on")).code == 0
    async with asyncio.timeout(20):
        while await sleepers(run, "8642"):  # noqa: ASYNC110 (a process in there tells nobody of its end)
            await asyncio.sleep(0.02)


# Limits, in words


async def test_out_of_memory_is_said_in_words(backend: Backend) -> None:
    can = backend.capabilities()
    if not can.memory_limit:
        pytest.skip("this user may not make control groups with a memory limit")
    async with started(backend, memory=256 << 20) as run:
        eat = run("python3 -c 'x = bytearray(1 << 30)'")
        if not can.survives_out_of_memory:
            with pytest.raises(SandboxGone, match="ran out of memory"):
                await eat
            return
        assert (await eat).outcome == Exited(137, ("out of memory: limit 256 MiB",))
        assert (await run("echo on")).stdout == b"on\n"


async def test_too_many_processes_is_said_in_words(backend: Backend) -> None:
    if not backend.capabilities().process_limit:
        pytest.skip("this user may not make control groups with a process limit")
    async with started(backend, pids=40) as run:
        done = await run("for i in $(seq 80); do sleep 5 & done; wait", timeout=20)
        assert isinstance(done.outcome, Exited)
        assert "too many processes: limit 40" in done.outcome.reached
        assert (await run("echo on")).stdout == b"on\n"


async def test_too_many_open_files_is_said_in_words(backend: Backend) -> None:
    assert backend.capabilities().open_files_limit
    async with started(backend, open_files=100) as run:
        done = await run("python3 -c 'files = [open(\"/dev/null\") for _ in range(200)]'")
        assert done.outcome == Exited(1, ("too many open files: limit 100",))
        assert (await run("echo on")).stdout == b"on\n"


async def test_a_share_of_the_processors_is_not_exceeded(backend: Backend) -> None:
    if not backend.capabilities().cpu_limit:
        pytest.skip("processors cannot be limited here")
    code = (
        "import time; end = time.monotonic() + 1.5\n"
        "while time.monotonic() < end: pass\n"
        "print(time.process_time())"
    )
    async with started(backend, cpus=0.2) as run:
        done = await run(f"python3 -c '{code}'")
    assert float(done.stdout) < 0.8


async def test_a_disk_limit_that_cannot_be_kept_is_refused(backend: Backend) -> None:
    await backend.probe()
    if backend.capabilities().disk_limit:
        pytest.skip("disk space can be limited here")
    spec = SandboxSpec(new_id(), disk=64 << 20)
    with pytest.raises(LimitUnavailable, match="disk") as caught:
        await backend.create(spec)
    assert caught.value.mend
    assert spec.id not in [ref.id for ref in await backend.list()]


@pytest.mark.parametrize(
    "bad",
    [
        {"memory": 0},
        {"pids": -1},
        {"cpus": 0.0},
        {"cpus": math.nan},
        {"open_files": 1},
        {"disk": 1},
        {"lease": -1.0},
        {"volume": "../up"},
    ],
    ids=str,
)
async def test_bad_limits_are_one_clear_error(backend: Backend, bad: dict[str, Any]) -> None:
    spec = SandboxSpec(new_id(), **bad)
    with pytest.raises(InvalidRequest) as caught:
        await backend.create(spec)
    assert caught.value.param == next(iter(bad))
    assert spec.id not in [ref.id for ref in await backend.list()]


async def test_a_full_disk_is_said_in_words(run: Sandbox) -> None:
    done = await run("head -c 3G /dev/zero >/tmp/full")
    assert isinstance(done.outcome, Exited)
    assert done.outcome.reached == ("no space left in /tmp",)
    assert (await run("rm /tmp/full; echo on")).stdout == b"on\n"


# The full log


async def test_a_short_output_has_no_log(run: Sandbox) -> None:
    assert (await run("echo short")).outcome == Exited(0)


async def test_a_long_output_lies_in_a_file_inside(run: Sandbox) -> None:
    done = await run("seq 100000; echo wrong >&2")
    assert isinstance(done.outcome, Exited)
    assert done.outcome.log is not None
    logged = await run(f"cat {done.outcome.log}")
    assert sorted(logged.stdout.splitlines()) == sorted([*done.stdout.splitlines(), b"wrong"])


async def test_a_very_long_output_keeps_head_and_tail(run: Sandbox) -> None:
    done = await run("seq 5000000")
    assert isinstance(done.outcome, Exited)
    logged = (await run(f"cat {done.outcome.log}")).stdout
    assert logged.startswith(b"1\n2\n3\n")
    assert logged.endswith(b"4999999\n5000000\n")
    assert b"bytes left out" in logged
    assert len(logged) < 4 << 20


async def test_logs_are_bounded_together(run: Sandbox) -> None:
    for _ in range(12):
        await run("seq 1000000")
    assert int((await run("ls /run/boxd/log | wc -l")).stdout) <= 8


# Pause, and checkpoints


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


async def test_idle_a_sandbox_is_paused_until_the_next_command(run: Sandbox) -> None:
    await run("(while :; do echo >>/tmp/ticks; sleep 0.01; done) & until [ -e /tmp/ticks ]; do :; done")
    assert await run.channel.pause(idle=True)
    before = (await run.channel.stat("/tmp/ticks")).size
    await asyncio.sleep(0.2)
    assert (await run.channel.stat("/tmp/ticks")).size == before
    more = f"until [ $(wc -c </tmp/ticks) -gt {before} ]; do sleep 0.01; done"
    assert (await run(more, timeout=20)).outcome == Exited(0)


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


async def checkpoint(run: Sandbox, **labels: str) -> Snapshot:
    await run.channel.save_shell()
    await run.channel.pause()
    try:
        return await run.backend.checkpoint(run.ref, new_id(), labels)
    finally:
        await run.channel.wake()


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
        assert snapshot in await run.backend.snapshots({"owner": "contract"})
        assert snapshot not in await run.backend.snapshots({"owner": "somebody else"})
        assert snapshot.size > 0
    finally:
        await run.backend.remove_snapshot(snapshot.id)
    assert snapshot not in await run.backend.snapshots()
    await run.backend.remove_snapshot(snapshot.id)


async def test_a_fork_of_a_fork_outlives_its_parents(backend: Backend) -> None:
    async with started(backend) as run:
        await run("echo 1 >>log")
        first = await checkpoint(run)
    async with started(backend, snapshot=first.id) as run:
        await run("echo 2 >>log")
        second = await checkpoint(run)
    await backend.remove_snapshot(first.id)
    async with started(backend, snapshot=second.id) as run:
        assert (await run("cat log")).stdout == b"1\n2\n"
    await backend.remove_snapshot(second.id)


async def test_an_unknown_checkpoint_is_said_and_leaves_nothing(backend: Backend) -> None:
    spec = SandboxSpec(new_id(), snapshot="nothing")
    with pytest.raises(SandboxGone, match="checkpoint nothing"):
        await backend.create(spec)
    assert spec.id not in [ref.id for ref in await backend.list()]


async def test_a_checkpoint_of_what_is_gone_is_said_and_leaves_nothing(backend: Backend) -> None:
    async with started(backend) as run:
        await backend.delete(run.ref)
        name = new_id()
        with pytest.raises(SandboxGone):
            await backend.checkpoint(run.ref, name, {})
    assert name not in [snapshot.id for snapshot in await backend.snapshots()]


async def test_what_a_command_has_closed_is_removed_all_the_same(backend: Backend) -> None:
    async with started(backend) as run:
        await run("mkdir -p shut/in; touch shut/in/file; chmod 500 shut/in; chmod 0 shut")
    with pytest.raises(SandboxGone):
        await backend.get(run.ref.id)


# Files in depth


async def test_a_checksum_of_what_arrived(run: Sandbox) -> None:
    content = secrets.token_bytes(300_000)
    stat = await run.channel.put(f"{WORKSPACE}/x", chunks(content), digest=True)
    assert stat.sha256 == hashlib.sha256(content).hexdigest()


async def test_what_changed_since_a_mark(run: Sandbox) -> None:
    await run("echo a >same; echo b >changed; echo c >removed")
    mark = await run.channel.list(WORKSPACE)
    await run("echo bb >changed; rm removed; mkdir d; echo e >d/new")
    changes = await run.channel.changes(WORKSPACE, mark)
    assert sorted(stat.path for stat in changes.files) == [f"{WORKSPACE}/changed", f"{WORKSPACE}/d/new"]
    assert changes.gone == (f"{WORKSPACE}/removed",)


async def test_names_that_are_no_utf8(run: Sandbox) -> None:
    name = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    stat = await run.channel.put(f"{WORKSPACE}/{name}", chunks(b"content"))
    assert await run.channel.list(WORKSPACE) == [stat]
    assert (await run("printf '%s' *")).stdout == b"caf\xe9 \xff"
    assert b"".join([piece async for piece in run.channel.get(stat.path)]) == b"content"


@pytest.mark.parametrize(
    "path", ["link/passwd", "file", "../etc/passwd", "/etc/passwd", "deep/../../../etc/passwd"]
)
async def test_paths_that_lead_out_are_refused(run: Sandbox, path: str) -> None:
    await run("ln -s /etc link; ln -s /etc/passwd file; mkdir deep")
    full = path if path.startswith("/") else f"{WORKSPACE}/{path}"
    with pytest.raises(SandboxFileError, match="leads out"):
        await anext(run.channel.get(full, within=WORKSPACE))
    with pytest.raises(SandboxFileError, match="leads out"):
        await run.channel.put(full, chunks(b"x"), within=WORKSPACE)
    if path != "file":  # removing a link removes the link
        with pytest.raises(SandboxFileError, match="leads out"):
            await run.channel.remove(full, within=WORKSPACE)


async def test_a_link_that_stays_inside_is_followed(run: Sandbox) -> None:
    await run("echo content >file; ln -s file link")
    assert [piece async for piece in run.channel.get(f"{WORKSPACE}/link", within=WORKSPACE)] == [b"content\n"]


async def test_a_large_file_is_streamed_both_ways(run: Sandbox) -> None:
    piece = secrets.token_bytes(1 << 20)

    async def content() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield piece

    stat = await run.channel.put(f"{WORKSPACE}/large", content(), digest=True)
    assert stat.size == 64 << 20
    back = hashlib.sha256()
    async for part in run.channel.get(stat.path):
        back.update(part)
    assert back.hexdigest() == stat.sha256


# Named volumes


@pytest.fixture
async def volume(backend: Backend) -> AsyncIterator[str]:
    """The name of a volume that the test may make."""
    if not backend.capabilities().volumes:
        pytest.skip("there are no named volumes here")
    name = new_id()
    yield name
    await backend.remove_volume(name)
    assert name not in [volume.name for volume in await backend.volumes()]


async def test_a_named_volume_outlives_its_sandboxes(backend: Backend, volume: str) -> None:
    async with started(backend, volume=volume) as run:
        await run("echo kept >file; echo lost >/tmp/file")
        assert volume in [found.name for found in await backend.volumes()]
        with pytest.raises(SandboxError, match="in use"):
            await backend.remove_volume(volume)
    async with started(backend, volume=volume) as run:
        assert (await run("cat file; ls /tmp")).stdout == b"kept\n"
    await backend.remove_volume(volume)
    await backend.remove_volume(volume)
    async with started(backend, volume=volume) as run:
        assert (await run("ls -A")).stdout == b""


async def test_a_checkpoint_keeps_the_files_of_a_volume(backend: Backend, volume: str) -> None:
    async with started(backend, volume=volume) as run:
        await run("mkdir -p 'a b'; echo one >'a b/file'; ln -s nowhere link; cd 'a b'")
        snapshot = await checkpoint(run)
        await run("echo changed >file")
    seen = 'cat "/mnt/data/a b/file"; readlink /mnt/data/link; pwd'
    try:
        async with started(backend, snapshot=snapshot.id) as fork:
            assert (await fork(seen)).stdout == b"one\nnowhere\n/mnt/data/a b\n"
        async with started(backend, snapshot=snapshot.id, volume=volume) as again:  # it has files of its own
            assert (await again(seen)).stdout == b"changed\nnowhere\n/mnt/data/a b\n"
        await backend.remove_volume(volume)
        async with started(backend, snapshot=snapshot.id, volume=volume) as again:
            assert (await again(seen)).stdout == b"one\nnowhere\n/mnt/data/a b\n"
    finally:
        await backend.remove_snapshot(snapshot.id)
