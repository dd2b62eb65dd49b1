"""Files of a sandbox in an archive, and back into a sandbox of the other backend, byte for byte."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest

from agent_kernel.runtime.archive.files import PackReport, packed, unpack
from agent_kernel.runtime.archive.tree import check_tree
from agent_kernel.sandboxes.base import Backend
from tests.sandboxes.inside import Sandbox, started

MADE = r"""
set -e
mkdir -p deep/er empty private; echo secret >private/file; chmod 600 private/file; chmod 700 private
head -c 300000 /dev/urandom >random; printf '\0\1\377' >deep/er/binary; : >nothing
ln -s deep/er/binary relative; ln -s /mnt/data/random absolute; ln -s gone dangling
ln random hard; ln random deep/harder
printf '#!/bin/sh\n' >program; chmod 4755 program; chmod 1777 empty
truncate -s 8M sparse; printf x | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
touch -d '2001-02-03 04:05:06.123456789' random
touch -- "$(printf 'no\377text')" "$(printf 'new\nline')" ünï -dash ' space ' "$(printf 'l%.0s' {1..255})"
echo no >unreadable; chmod 0 unreadable; mkdir closed; echo in >closed/file
touch -d @8 closed; chmod 0 closed
mkdir -p "$(printf 'd%.0s/' {1..40})"; touch -d @86400 deep
"""
LISTED = r"""
stat -c %a closed unreadable; chmod 700 closed unreadable
find . -not -type d -printf '%p %y %m %s %n %l %T@\n' | sort; find . -type d -printf '%p %m %T@\n' | sort
find . -type f -print0 | sort -z | xargs -0 sha256sum
find . -samefile random | sort
"""


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


async def carried(one: Sandbox, other: Sandbox) -> PackReport:
    """Move the files of one sandbox into another."""
    report = PackReport()
    content = b"".join([piece async for piece in packed(one.channel, report)])
    check_tree(io.BytesIO(content))
    await unpack(other.channel, chunks(content))
    return report


@pytest.mark.docker
@pytest.mark.bubblewrap
@pytest.mark.parametrize("backwards", [False, True], ids=["from_bubblewrap", "from_docker"])
async def test_files_move_to_the_other_backend(
    bubblewrap_backend: Backend, docker_backend: Backend, backwards: bool
) -> None:
    async with started(bubblewrap_backend) as one, started(docker_backend) as other:
        if backwards:
            one, other = other, one
        made = await one(MADE)
        assert made.code == 0, made.stderr
        await other("echo in the way >random; mkdir -p hard/er")
        report = await carried(one, other)
        listed, found = await one(LISTED), await other(LISTED)
        assert listed.stdout.count(b"\n") > 80
        assert set(found.stdout.split(b"\n")) ^ set(listed.stdout.split(b"\n")) == set()
        assert int((await other("du -s sparse | cut -f1")).stdout) < 1000, "the hole is a hole again"
        assert report.count == 0, report.left_out


@pytest.mark.bubblewrap
async def test_what_cannot_move_is_named(bubblewrap_backend: Backend) -> None:
    async with started(bubblewrap_backend) as one:
        await one("mkfifo pipe; ln -s /etc/passwd out; ln -s ../../tmp up; ln -s ../data/x in; echo x >x")
        report = PackReport()
        content = b"".join([piece async for piece in packed(one.channel, report)])
        assert check_tree(io.BytesIO(content)).files == 1
        assert sorted((each.path, each.why) for each in report.left_out) == [
            ("/mnt/data/out", "a link that leads outside: /etc/passwd"),
            ("/mnt/data/pipe", "no regular file"),
            ("/mnt/data/up", "a link that leads outside: ../../tmp"),
        ]
