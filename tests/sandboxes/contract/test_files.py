"""Files in and out, by any name and of any size."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator

import pytest

from agent_kernel.errors import (
    SandboxFileError,
)
from agent_kernel.sandboxes.base import WORKSPACE
from tests.sandboxes.inside import Sandbox, chunks
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


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


async def test_only_what_is_to_be_run_can_be_run(run: Sandbox) -> None:
    for name, executable in (("program", True), ("text", False)):
        script = chunks(b"#!/bin/sh\necho ran\n")
        await run.channel.put(f"{WORKSPACE}/{name}", script, executable=executable)
    ended = await run("./program; test -x text || echo not this")
    assert ended.stdout == b"ran\nnot this\n"


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


async def test_a_checksum_of_what_arrived(run: Sandbox) -> None:
    content = secrets.token_bytes(300_000)
    stat = await run.channel.put(f"{WORKSPACE}/x", chunks(content), digest=True)
    assert stat.sha256 == hashlib.sha256(content).hexdigest()


async def test_what_changed_since_a_mark(run: Sandbox) -> None:
    await run("echo a >same; echo b >changed; echo c >removed")
    mark = (await run.channel.changes(WORKSPACE)).mark
    await run("echo bb >changed; rm removed; mkdir d; echo e >d/new")
    changes = await run.channel.changes(WORKSPACE, mark)
    assert sorted(stat.path for stat in changes.files) == [f"{WORKSPACE}/changed", f"{WORKSPACE}/d/new"]
    assert changes.gone == (f"{WORKSPACE}/removed",)
    assert changes.known
    again = await run.channel.changes(WORKSPACE, changes.mark)
    assert (again.files, again.gone, again.mark) == ((), (), changes.mark)


async def test_unknown_mark_names_no_files(run: Sandbox) -> None:
    await run("echo a >file")
    changes = await run.channel.changes(WORKSPACE, "0" * 24)
    assert (changes.files, changes.gone, changes.known) == ((), (), False)
    assert (await run.channel.changes(WORKSPACE, changes.mark)).known


async def test_only_the_newest_marks_are_remembered(run: Sandbox) -> None:
    marks = []
    for number in range(6):
        await run(f"echo {number} >file{number}")
        marks.append((await run.channel.changes(WORKSPACE)).mark)
    assert [(await run.channel.changes(WORKSPACE, mark)).known for mark in marks] == [False] * 2 + [True] * 4


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


@pytest.mark.slow_on_gvisor
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
