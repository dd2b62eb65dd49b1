"""A sandbox that bwrap made otherwise than asked for is refused, and nothing of it is left."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent_kernel.errors import IsolationUnavailable
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox

pytestmark = pytest.mark.bubblewrap

OTHER = """#!/usr/bin/python3 -S
import os, sys
words, out = sys.argv[1:], []
dropped = {dropped!r}
while words:
    word = words.pop(0)
    if dropped[:1] == [word] and words[: len(dropped) - 1] == dropped[1:]:
        del words[: len(dropped) - 1 + {values}]
    elif word == "--mqueue":  # mounts nothing in the host's namespace
        words.pop(0)
    else:
        out.append(word)
os.execv("/usr/bin/bwrap", ["/usr/bin/bwrap", *out])
"""


@pytest.mark.parametrize(
    ("dropped", "values", "why"),
    [
        (["--unshare-net"], 0, "net namespace is the host's"),
        (["--unshare-ipc"], 0, "ipc namespace is the host's"),
        (["--unshare-cgroup-try"], 0, "cgroup namespace is the host's"),
        (["--seccomp"], 1, "Seccomp is 0"),
        (["--remount-ro", "/dev"], 0, "writable mounts are"),
        (["--remount-ro", "/"], 0, "writable mounts are"),
        (["--size"], 1, "has no size"),
    ],
)
async def test_option_left_out_is_refused(
    dropped: list[str], values: int, why: str, tmp_path: Path, toolbox: Toolbox
) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(OTHER.format(dropped=dropped, values=values))
    bwrap.chmod(bwrap.stat().st_mode | stat.S_IXUSR)
    backend = BubblewrapBackend(tmp_path / "data", toolbox, bwrap=str(bwrap))
    with pytest.raises(IsolationUnavailable, match=why):
        await backend.create(SandboxSpec("other"))
    assert await backend.list() == []
    assert list((tmp_path / "data" / "sandboxes").iterdir()) == []
    await backend.aclose()
