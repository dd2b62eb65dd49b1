"""The paths to the server: directly, through tinyproxy or mitmproxy, and out of a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import shutil
import socket
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from agent_kernel.config import RuntimeSettings
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.runtime.network.egress import NetworkOptions
from agent_kernel.runtime.network.networks import Networks
from agent_kernel.runtime.network.policy import ContainerNetwork
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.network import PROXY_PORT
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.sqlite.store import sqlite_store
from benchmarks.egress.ends import CLIENT

MITMPROXY = "mitmproxy==11.0.2"
NAME = "bench.internal"
LOOPBACK = [ip_address("127.0.0.1")]

Proxy = tuple[str, int]


Contender = Callable[[int], contextlib.AbstractAsyncContextManager["OnHost | InSandbox"]]
"""Opens the path to the server on a port. Raises `CannotError`."""


class CannotError(Exception):
    """A contender cannot run here; the text says why."""


class OnHost:
    """A path to the server on `port`, for a client on this machine."""

    def __init__(self, port: int, proxy: Proxy | None = None) -> None:
        self.port = port
        self.proxy = proxy

    async def seconds(self, what: str, size: int, count: int) -> float:
        """Run the client, and return what it prints."""
        arguments = json.dumps(["127.0.0.1", self.port, self.proxy, what, size, count])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, arguments, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        if process.returncode:
            raise CannotError(f"the client failed ({what})")
        return float(printed)


class InSandbox:
    """A path out of a sandbox, by its transparent ports or by its proxy."""

    def __init__(self, port: int, channel: Channel, *, proxy: bool) -> None:
        self.port = port
        self.channel = channel
        self.proxy = ("127.0.0.1", PROXY_PORT) if proxy else None

    async def seconds(self, what: str, size: int, count: int) -> float:
        """Run the client inside, and return what it prints."""
        arguments = json.dumps([NAME, self.port, self.proxy, what, size, count])
        command = f"python3 -c {shlex.quote(CLIENT)} {shlex.quote(arguments)}"
        printed = b""
        async with contextlib.aclosing(self.channel.run(command, timeout=600)) as events:
            async for event in events:
                if isinstance(event, Output):
                    printed += event.data
                elif event != Exited(0):
                    raise CannotError(f"the client failed ({what}): {printed.decode()[-300:]}")
        return float(printed)


@contextlib.asynccontextmanager
async def direct(port: int) -> AsyncIterator[OnHost]:
    """Connect without anything in between."""
    yield OnHost(port)


@contextlib.asynccontextmanager
async def tinyproxy(port: int) -> AsyncIterator[OnHost]:
    """Connect through tinyproxy."""
    program = shutil.which("tinyproxy")
    if program is None:
        raise CannotError("tinyproxy is missing: apt-get install tinyproxy-bin")
    with tempfile.TemporaryDirectory() as folder:
        own = free_port()
        lines = [f"Port {own}", "Listen 127.0.0.1", "MaxClients 1000", "Timeout 600", f"ConnectPort {port}"]
        config = written(Path(folder, "tinyproxy.conf"), [*lines, "LogLevel Critical"])
        async with running(program, "-d", "-c", config, port=own):
            yield OnHost(port, ("127.0.0.1", own))


READS_HTTP = ("--set", "stream_large_bodies=1")
"""mitmproxy reads what is inside a CONNECT, and passes bodies on as they come."""

PASSES_ALL = ("--set", "ignore_hosts=.*")
"""mitmproxy passes all connections untouched: the same work as the way out of a sandbox does."""


def mitmproxy(*options: str) -> Contender:
    """Return the path through mitmproxy, which is installed for this run."""
    return lambda port: _mitmproxy(port, options)


@contextlib.asynccontextmanager
async def _mitmproxy(port: int, more: Sequence[str]) -> AsyncIterator[OnHost]:
    with tempfile.TemporaryDirectory() as folder:
        own, environment = free_port(), Path(folder, "venv")
        await asyncio.to_thread(venv.create, environment, with_pip=True)
        pip = [
            str(environment / "bin" / "pip"),
            "install",
            "--quiet",
            "--disable-pip-version-check",
            MITMPROXY,
        ]
        process = await asyncio.create_subprocess_exec(*pip, stderr=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise CannotError(f"{MITMPROXY} cannot be installed here")
        options = ["--quiet", "--listen-host", "127.0.0.1", "--listen-port", str(own)]
        options += [*more, "--set", f"confdir={folder}"]
        async with running(str(environment / "bin" / "mitmdump"), *options, port=own):
            yield OnHost(port, ("127.0.0.1", own))


@contextlib.asynccontextmanager
async def running(*command: str, port: int) -> AsyncIterator[None]:
    """Run a proxy, from when it listens."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(60):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                break
        if process.returncode is not None:
            raise CannotError(f"{command[0]} did not start")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def written(path: Path, lines: list[str]) -> str:
    """Write a file, and return its path as text."""
    path.write_text("\n".join([*lines, ""]))
    return str(path)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def sandboxed(kind: str, *, proxy: bool = False) -> Contender:
    """Return the path out of a sandbox of this kind, with the store and the audit log of a runtime."""

    @contextlib.asynccontextmanager
    async def opened(port: int) -> AsyncIterator[InSandbox]:
        with tempfile.TemporaryDirectory() as folder:
            backend = made(kind, Path(folder))
            probe = await backend.probe()
            if not probe.ok:
                raise CannotError(probe.detail)
            try:
                async with channel(backend, Path(folder), port) as opened:
                    yield InSandbox(port, opened, proxy=proxy)
            finally:
                await backend.aclose()

    return opened


def made(kind: str, folder: Path) -> Backend:
    """Return a backend of this kind."""
    if kind == "docker":
        return DockerBackend()
    return BubblewrapBackend(folder, Toolbox(RuntimeSettings().data_path()))


async def loopback(name: str) -> Sequence[Address]:
    """Resolve every name to this machine."""
    return LOOPBACK


@contextlib.asynccontextmanager
async def channel(backend: Backend, folder: Path, port: int) -> AsyncIterator[Channel]:
    """Make a sandbox whose container may reach the server only, and open the channel to it."""
    policy = NetworkPolicy.parse([f"tcp://{NAME}:{port}"])
    store, audit = sqlite_store(folder), AuditLog(folder / "audit.jsonl")
    network = ContainerNetwork.new(policy, policy).as_json()
    row = ContainerRow("bench", "n", backend.name, 1, 1, 20, "running", None, "a", network=network)
    await store.rows.put_container(row)
    limits = NetworkLimits(concurrent=1000, per_minute=1 << 20, bytes_in=None)
    networks = Networks(store.rows, NetworkBound(policy), NetworkOptions(limits, loopback), audit)
    access = networks.access(row)
    ref = await backend.create(SandboxSpec(f"bench-{port}", network=access.network))
    try:
        opened = await Channel.open(await backend.stream(ref), access.egress)
        try:
            yield opened
        finally:
            await opened.aclose()
    finally:
        await backend.delete(ref)
        audit.close()
        await store.rows.aclose()
