"""Environments of frameworks: each made once from its lock, and its scripts as processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.clients.cache import folder_for, installed

FOLDER = Path(__file__).parent
NOWHERE = "http://127.0.0.1:9"  # whatever is not loopback ends here


class FrameworkMissing(Exception):
    """The environment could not be made; the message says why."""


def install(name: str) -> Path:
    """Make the environment unless the cache has this lock's; return it. Raises `FrameworkMissing`."""
    lock = FOLDER / "locks" / f"{name}.txt"
    environment = folder_for(name, lock)
    installed(environment, lambda: _install(environment, lock))
    return environment


def _install(environment: Path, lock: Path) -> None:
    uv = [sys.executable, "-m", "uv"]  # pip takes minutes for the larger ones
    python = str(environment / "bin" / "python")
    for command in (
        [*uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
        [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--python",
            python,
            "-r",
            str(lock),
        ],
    ):
        done = subprocess.run(command, env=_with_index(), capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise FrameworkMissing(f"{lock} cannot be installed: {(done.stdout + done.stderr)[-2000:]}")


def _with_index() -> dict[str, str]:
    """Return the environment in which uv takes the package index of pip's settings, if they name one."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=600).stdout.strip()
    index = os.environ.get("PIP_INDEX_URL") or found
    return {**({"UV_DEFAULT_INDEX": index} if index else {}), **os.environ}


async def run(name: str, url: str, key: str, model: str, home: Path) -> dict[str, Any]:
    """Run the script of a framework against `url`; it prints what it saw as one JSON object, last."""
    environment = await asyncio.to_thread(install, name)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_", "PYTHON"))}
    process = await asyncio.create_subprocess_exec(
        str(environment / "bin" / "python"),
        "-P",  # not from the script's folder
        str(FOLDER / "scripts" / f"with_{name}.py"),
        cwd=home,
        env={
            **kept,
            "HOME": str(home),
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": key,
            "MODEL": model,
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
            "CREWAI_DISABLE_TELEMETRY": "true",
            "OTEL_SDK_DISABLED": "true",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 300)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode() + err.decode()
    return dict(json.loads(out.splitlines()[-1]))
