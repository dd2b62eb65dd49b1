"""The server under load: `agent-kernel serve` with the scripted model, and sandboxes that isolate nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.wheels import install

CHECKOUT = Path(__file__).parents[2]
TOY = CHECKOUT / "tests" / "sandboxes" / "toy_backend"
SCRIPT = Path(__file__).parent / "hub.yaml"
CONNECTIONS = 5000
IDLE = 2.0
"""Seconds after which a client closes a connection that it does not use: before the server does, in 5."""


@dataclass(frozen=True)
class HubServer:
    """A server that runs."""

    url: str
    process: asyncio.subprocess.Process
    started_in: float
    """Seconds from its start until it served."""

    def memory(self) -> float:
        """Return what it has in memory now, in kB, without what it shares with other processes."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))

    def open_files(self) -> int:
        """Return how many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        await self.process.wait()


def toy_backend(folder: Path) -> Path:
    """Install the sandbox backend of the tests, which is one process of this user per sandbox."""
    return install(TOY, folder)


@asynccontextmanager
async def clients(server: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    """Connect to a server, for any number of users."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=IDLE)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=300) as client:
        yield client


async def end_containers(client: httpx.AsyncClient) -> None:
    """Delete every container of a server, whose sandboxes would else live until their lease ends."""
    while found := (await client.get("containers", params={"limit": 100})).raise_for_status().json()["data"]:
        for each in found:
            (await client.delete(f"containers/{each['id']}")).raise_for_status()


@asynccontextmanager
async def serving(data: Path, toy: Path, *flags: str) -> AsyncIterator[HubServer]:
    """Start a server on a data folder, and end it. Its containers live on; see `end_containers`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_KERNEL_")}
    paths = (str(toy), str(CHECKOUT), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_kernel", "serve", "--port", "0", "--data-dir", str(data)),
        *("--model", f"scripted/{SCRIPT}", "--sandbox", "toy", "--pause-after", "0"),
        *("--max-connections", str(CONNECTIONS), *flags),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        if not line:
            raise RuntimeError("The server did not start.")
        yield HubServer(line.split()[1], process, time.perf_counter() - begun)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
