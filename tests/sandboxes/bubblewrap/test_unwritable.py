"""Embedded sandboxes where nothing can be written: one clear error each, and nothing is left.

The host of the test has a file system of its own, in memory, in a mount namespace of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox

pytestmark = pytest.mark.bubblewrap

HOST = """
import asyncio, json, subprocess, sys
from pathlib import Path
from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox

data, toolbox, case = sys.argv[1:]

def fill():
    try:
        with open(data + "/fill", "wb", 0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        return

async def main():
    backend = BubblewrapBackend(Path(data), Toolbox(Path(toolbox)))
    found = None
    if case == "checkpoint":
        ref = await backend.create(SandboxSpec("one"))
        Path(data, "sandboxes/one/files/workspace/file").write_bytes(bytes(300000))
        fill()
    elif case == "full":
        fill()
    else:
        subprocess.run(["mount", "-o", "remount,ro", data], check=True)
    try:
        if case == "checkpoint":
            await backend.checkpoint(ref, "kept", {})
        else:
            await backend.create(SandboxSpec("one"))
    except SandboxError as error:
        found = [type(error).__name__, error.message, error.hint]
    if case == "checkpoint":
        await backend.delete(ref)
    left = [path.name for path in Path(data).glob("s*/*")]
    print(json.dumps([found, left, [each.id for each in await backend.list()]]))

asyncio.run(main())
"""
MOUNT = 'mount -t tmpfs -o size=2m none "$1" && shift && exec "$@"'


async def outcome(case: str, tmp_path: Path, toolbox: Toolbox) -> Any:
    """The error as (class, message, hint), what is left in the data folder, and what is listed."""
    data = tmp_path / "data"
    data.mkdir()
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    shell = ["sh", "-c", MOUNT, "sh", str(data)]
    host = [sys.executable, "-c", HOST, str(data), str(toolbox.path.parent.parent), case]
    done = await asyncio.to_thread(
        subprocess.run, [*own, *shell, *host], stdout=subprocess.PIPE, check=True, timeout=120
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("case", "words"), [("full", "No space left"), ("read-only", "Read-only file system")]
)
async def test_unwritable_disk_gives_one_error_and_leaves_nothing(
    case: str, words: str, tmp_path: Path, toolbox: Toolbox
) -> None:
    (kind, message, hint), left, listed = await outcome(case, tmp_path, toolbox)
    assert kind == "SandboxStartFailed"
    assert words in message
    assert "AGENT_KERNEL_DATA_DIR" in hint
    assert left == listed == []


async def test_oversized_checkpoint_gives_one_error_and_leaves_nothing(
    tmp_path: Path, toolbox: Toolbox
) -> None:
    (kind, message, _), left, listed = await outcome("checkpoint", tmp_path, toolbox)
    assert kind == "SandboxError"
    assert "No space left" in message
    assert left == listed == []
