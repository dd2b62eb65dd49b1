"""Files that are large enough for a pipe, on every backend; under bubblewrap they go through one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError, SandboxFileError, SandboxGone
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.boxd.connection import MOST_KEPT
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.folder import find_process
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.connection import SandboxConnection
from tests.sandboxes.inside import Sandbox, chunks, started
from tests.sandboxes.shared import SHARED, shared_run

run = shared_run
CHUNK = 1 << 18


def pieces(content: bytes) -> AsyncIterator[bytes]:
    return chunks(*(content[start : start + CHUNK] for start in range(0, len(content), CHUNK)))


@SHARED
@pytest.mark.parametrize("size", [CHUNK, 5_000_001])
async def test_content_and_checksum_are_those_sent(run: Sandbox, size: int) -> None:
    for digest in (True, False):
        content = secrets.token_bytes(size)
        stat = await run.channel.put(f"{WORKSPACE}/a/x", pieces(content), digest=digest, executable=digest)
        assert stat.size == size
        assert stat.sha256 == (hashlib.sha256(content).hexdigest() if digest else None)
        found = (await run("sha256sum a/x | cut -c1-64; ls a; test -x a/x; echo $?")).stdout.decode().split()
        assert found == [hashlib.sha256(content).hexdigest(), "x", "0" if digest else "1"]


@SHARED
async def test_source_that_breaks_leaves_nothing(run: Sandbox) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * CHUNK
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="broke"):
        await run.channel.put(f"{WORKSPACE}/part", broken())
    assert (await run("ls -A")).stdout == b""


@SHARED
async def test_full_file_system_is_said_and_nothing_stays(run: Sandbox) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * CHUNK

    with pytest.raises(SandboxFileError, match="No space left"):
        await run.channel.put("/run/full", endless())
    assert (await run("ls /run | grep full; echo on")).stdout == b"on\n"


@SHARED
@pytest.mark.parametrize("link", ["/etc", "/mnt/data/elsewhere"])
async def test_folder_replaced_by_a_link_during_an_upload(run: Sandbox, link: str) -> None:
    """Whatever commands do to the place of a file, only the sandbox's own files are reached."""

    async def swapping() -> AsyncIterator[bytes]:
        yield b"x" * CHUNK
        await run(f"mkdir -p elsewhere; mv folder moved; ln -s {link} folder")
        yield b"y" * CHUNK

    await run("mkdir folder")
    with pytest.raises(SandboxFileError, match=r"No such file|Read-only"):
        await run.channel.put(f"{WORKSPACE}/folder/file", swapping(), within=WORKSPACE)
    assert (await run("ls elsewhere; ls /etc/file 2>/dev/null")).stdout == b""
    with pytest.raises(SandboxFileError):
        await run.channel.put(f"{WORKSPACE}/folder/../../../etc/x", pieces(b"x" * CHUNK), within=WORKSPACE)


@SHARED
async def test_file_at_a_link_or_a_pipe_replaces_it(run: Sandbox) -> None:
    await run("ln -s /etc/hostname link; mkfifo fifo; ln -s /proc/self/mem mem")
    for name in ("link", "fifo", "mem"):
        await run.channel.put(f"{WORKSPACE}/{name}", pieces(b"z" * CHUNK))
    assert (await run("stat -c %F:%s *")).stdout.split(b"\n")[:3] == [b"regular file:%d" % CHUNK] * 3


@pytest.mark.bubblewrap
async def test_connection_lost_during_an_upload_leaves_nothing(bubblewrap_backend: BubblewrapBackend) -> None:
    async with started(bubblewrap_backend) as sandbox:
        other = await Channel.open(await bubblewrap_backend.stream(sandbox.ref))

        async def cut() -> AsyncIterator[bytes]:
            yield b"x" * CHUNK
            await other.aclose()
            yield b"x" * CHUNK * 16

        with pytest.raises(SandboxGone):
            await other.put(f"{WORKSPACE}/part", cut())
        await sandbox("true")  # boxd has read the end of that connection before this command's end
        assert (await sandbox("ls -A")).stdout == b""


@pytest.mark.bubblewrap
async def test_sandbox_that_ends_during_an_upload_ends_it(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    async with started(bubblewrap_backend) as sandbox:

        async def killed() -> AsyncIterator[bytes]:
            yield b"x" * CHUNK
            process = find_process(tmp_path / "sandboxes" / sandbox.ref.id)
            assert process is not None
            await asyncio.to_thread(process.end)
            while True:
                yield b"x" * CHUNK

        with pytest.raises(SandboxError):
            await sandbox.channel.put(f"{WORKSPACE}/part", killed())


@pytest.mark.bubblewrap
async def test_bytes_go_by_no_frame_and_no_descriptor_stays(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(bubblewrap_backend) as sandbox:
        process = find_process(tmp_path / "sandboxes" / sandbox.ref.id)
        assert process is not None
        before = os.listdir(f"/proc/{process.pid}/fd"), len(os.listdir("/proc/self/fd"))
        frames: list[int] = []
        send = SandboxConnection.send

        async def counted(self: SandboxConnection, encoded: wire.Bytes) -> None:
            frames.append(len(encoded))
            await send(self, encoded)

        monkeypatch.setattr(SandboxConnection, "send", counted)
        await sandbox.channel.put(f"{WORKSPACE}/x", pieces(b"x" * CHUNK * 64))
        assert frames == [wire.HEADER.size]  # the end
        await sandbox.channel.put(f"{WORKSPACE}/small", chunks(b"x"))
        assert len(frames) == 4
        after = os.listdir(f"/proc/{process.pid}/fd"), len(os.listdir("/proc/self/fd"))
        assert after == before


@pytest.mark.bubblewrap
async def test_descriptors_that_belong_to_nothing_end_the_connection(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> None:
    """A host that sends what no call names is no host of ours; the sandbox goes on with others."""
    async with started(bubblewrap_backend) as sandbox:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            null = os.open(os.devnull, os.O_RDONLY)
            await asyncio.to_thread(raw.connect, str(tmp_path / "sandboxes" / sandbox.ref.id / "socket"))
            raw.settimeout(60)
            socket.send_fds(raw, [wire.hello([])], [null] * MOST_KEPT)
            assert wire.HEADER.unpack(await asyncio.to_thread(raw.recv, wire.HEADER.size))[1] == wire.HELLO
            socket.send_fds(raw, [wire.message(wire.CALL, 1, {"method": "ping"})], [null])
            while await asyncio.to_thread(raw.recv, 1 << 16):
                pass
            os.close(null)
        assert (await sandbox("echo on")).stdout == b"on\n"


@pytest.mark.bubblewrap
async def test_call_without_the_pipe_it_names_is_refused(bubblewrap_backend: BubblewrapBackend) -> None:
    async with started(bubblewrap_backend) as sandbox:
        connection = sandbox.channel._connection
        with pytest.raises(SandboxFileError, match="passed"):
            async with connection.call("put", path=f"{WORKSPACE}/x", passed=True) as call:
                await connection.next(call)
        assert (await sandbox("ls -A")).stdout == b""
