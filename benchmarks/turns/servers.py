"""The servers that are compared: ours, and ogx in an environment of its own, before the same upstream."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

FOLDER = Path(__file__).parent
ENVIRONMENT = FOLDER / ".venv"
START = 120.0
"""Seconds in which a server must answer."""


class NotHere(Exception):
    """A server cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Served:
    """A server that runs: where, what its model is called, its process."""

    name: str
    url: str
    model: str
    pid: int

    def memory(self) -> float:
        """Most that its process and its workers have had in memory so far, in MB, shared pages each time."""
        workers = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in (self.pid, *workers)]
        return sum(int(text.partition("VmHWM:")[2].split()[0]) for text in texts) / 1024


@asynccontextmanager
async def upstream(*milliseconds: str) -> AsyncIterator[str]:
    """The model, without latency unless it is given some, in a process of its own; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(FOLDER / "upstream.py"), *milliseconds), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        await _end(process)


@asynccontextmanager
async def ours(model_url: str, data: Path, workers: int = 1) -> AsyncIterator[Served]:
    """`agent-kernel serve`, on the sandbox that is configured."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_kernel", "serve", "--port", "0", "--data-dir", str(data)),
        *("--upstream-url", model_url, "--model", "chat/m", "--workers", str(workers)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        name = "agent-kernel" if workers == 1 else f"{workers} workers"
        yield Served(name, line.split()[1], "chat/m", process.pid)
    finally:
        await _end(process)


def two_workers(model_url: str, data: Path) -> AbstractAsyncContextManager[Served]:
    """`agent-kernel serve` with two processes, which needs two free processors to be faster."""
    return ours(model_url, data, workers=2)


def _starts(python: str) -> bool:
    """Whether it is more than a version manager's word for a Python that was not chosen."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def install_ogx() -> Path:
    """Make ogx's environment unless it is there; return its program. Raises `NotHere`."""
    program = ENVIRONMENT / "bin" / "ogx"
    if program.exists():
        return program
    names = [sys.executable] if sys.version_info >= (3, 12) else ["python3.14", "python3.13", "python3.12"]
    others = sorted(map(str, Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python")), reverse=True)
    python = next(filter(_starts, [*filter(None, map(shutil.which, names)), *others]), None)
    if python is None:
        raise NotHere("it needs Python 3.12 or newer, and there is none on the path")
    for command in (
        [python, "-m", "venv", "--clear", str(ENVIRONMENT)],
        [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "-q", "-r", str(FOLDER / "ogx.txt")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            raise NotHere(f"it cannot be installed: {(done.stderr or done.stdout).strip()[-300:]}")
    return program


@asynccontextmanager
async def ogx(model_url: str, data: Path) -> AsyncIterator[Served]:
    """Ogx with the configuration beside this file. Raises `NotHere`."""
    program = await asyncio.to_thread(install_ogx)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(str(program), "run", str(FOLDER / "ogx.yaml"), "--port", str(port), "--insecure"),
        env={**os.environ, "UPSTREAM_URL": model_url, "OGX_STORE": str(data)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        await _answers(url, process)
        yield Served("ogx", url, "upstream/m", process.pid)
    finally:
        await _end(process)


async def _answers(url: str, process: asyncio.subprocess.Process) -> None:
    """Wait until it serves; it has no other way to say so."""
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(START):
            while process.returncode is None:
                try:
                    (await client.get(f"{url}/models")).raise_for_status()
                except httpx.HTTPError:
                    await asyncio.sleep(0.2)
                else:
                    return
    except TimeoutError:
        raise NotHere(f"it did not answer within {START:.0f} s") from None
    raise NotHere(f"it ended at its start with status {process.returncode}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()
