"""Tools in a sandbox install from what the operator's tool is configured for, through its preset."""

from __future__ import annotations

import io
import socket
import ssl
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent_kernel.config.tools import tool_environment
from agent_kernel.egress.addresses import kind_of
from agent_kernel.egress.broker import Broker
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.presets.ask import Route
from agent_kernel.egress.presets.operator import Operator
from agent_kernel.egress.presets.presets import Presets
from agent_kernel.egress.resolve import dial, system_resolver
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.mounts import HostMount
from agent_kernel.sandboxes.network import Network
from tests.conftest import Missing
from tests.egress.clients.catalogue import CARGO_ROOT
from tests.egress.clients.scripts import CARGO_FETCH
from tests.egress.clients.sites import WORD, cargo_registry
from tests.egress.presets.world import Certificate, World
from tests.sandboxes.inside import Sandbox, started

pytestmark = pytest.mark.bubblewrap

PIP = "PIP_RETRIES=0 pip install -q --no-deps --target found --cert /tmp/ca.pem"


@asynccontextmanager
async def sandbox(
    backend: BubblewrapBackend,
    operator: Operator,
    route: Route,
    trust: bytes,
    preset: str = "pip",
    program: HostMount | None = None,
) -> AsyncIterator[Sandbox]:
    """Start a sandbox that may connect to what a request's preset allows within the operator's."""
    asked = NetworkPolicy.parse([preset])
    bound = NetworkBound(asked, Presets(operator, route))
    policy = await bound.narrowed(asked)
    network = Network(variables=tuple(bound.variables.items()))
    mounts = () if program is None else (program,)
    async with started(backend, network=network, mounts=mounts) as run:
        run.channel.decide_by(Broker(policy, resolver=route.resolver, dialler=route.dialler))
        await run(f"cat >/tmp/ca.pem <<'END'\n{trust.decode()}\nEND")
        yield run


def wheel(name: str) -> bytes:
    """Make a wheel with one module."""
    held = io.BytesIO()
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(f"{name}.py", "answer = 42\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return held.getvalue()


async def test_mirror_and_its_file_hosts_are_reached(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, world: World, made: Certificate
) -> None:
    settings = tmp_path / "pip.conf"
    mirror = "https://user:secret@mirror.example.org/simple"
    settings.write_text(f"[global]\nindex-url = {mirror}\n")
    file = "tiny-1-py3-none-any.whl"
    world.pages = {
        "mirror.example.org/simple/pip/": b'<a href="https://files.example.org/pip-1.whl">pip</a>',
        "files.example.org/pip-1.whl": "https://blobs.example.org/pip-1.whl",
        "mirror.example.org/simple/tiny/": f'<a href="https://files.example.org/{file}">{file}</a>'.encode(),
        f"files.example.org/{file}": f"https://blobs.example.org/{file}?signed=1",
        f"blobs.example.org/{file}?signed=1": wheel("tiny"),
        "other.example.org/": b"secret",
    }
    operator = Operator({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(settings)})
    async with sandbox(bubblewrap_backend, operator, world.route(), made[0].read_bytes()) as run:
        done = await run(f"{PIP} tiny")
        assert (done.code, done.stderr) == (0, b"")
        assert (await run("PYTHONPATH=found python3 -c 'import tiny; print(tiny.answer)'")).stdout == b"42\n"
        done = await run("curl -sS --cacert /tmp/ca.pem https://other.example.org/; env; cat /tmp/ca.pem")
    assert b"403" in done.stderr
    assert b"secret" not in done.stdout
    assert "other.example.org" not in world.resolved


CARGO = """
[source.crates-io]
replace-with = "mirror"
[source.mirror]
registry = "sparse+https://mirror.example.org/"
"""


async def test_crate_comes_from_the_file_host_of_the_mirror(
    bubblewrap_backend: BubblewrapBackend, tmp_path: Path, world: World, made: Certificate, missing: Missing
) -> None:
    if not (CARGO_ROOT / "bin" / "cargo").exists():
        missing("Cargo is missing; it comes with the package cargo")
    settings = tmp_path / ".cargo" / "config.toml"
    settings.parent.mkdir()
    settings.write_text(CARGO)
    for path, content in cargo_registry("https://files.example.org").items():
        host = "files" if path.startswith("files/") else "mirror"
        world.pages[f"{host}.example.org/{path}"] = content
    operator, trust = Operator({"HOME": str(tmp_path), "PATH": ""}), made[0].read_bytes()
    program = HostMount("cargo", str(CARGO_ROOT))
    async with sandbox(bubblewrap_backend, operator, world.route(), trust, "cargo", program) as run:
        index = "CARGO_REGISTRIES_TESTS_INDEX=sparse+https://mirror.example.org/ SSL_CERT_FILE=/tmp/ca.pem"
        done = await run(f"export {index}{CARGO_FETCH}")
        assert (done.code, WORD in done.stdout.decode()) == (0, True), done.stderr
    assert set(world.resolved) == {"mirror.example.org", "files.example.org"}


class Outside:
    """This machine's network. An index that it reaches at a reserved address has a public one here."""

    def __init__(self) -> None:
        self.real: dict[Address, Address] = {}

    async def resolve(self, name: str) -> Sequence[Address]:
        return [self._public(address) for address in await system_resolver(name)]

    def _public(self, address: Address) -> Address:
        shown = address if kind_of(address) is None else ip_address(f"8.8.8.{len(self.real) + 1}")
        self.real[shown] = address
        return shown

    async def dial(self, address: Address, port: int) -> socket.socket:
        return await dial(self.real[address], port)


async def test_package_from_this_machines_index(
    bubblewrap_backend: BubblewrapBackend, pips_index: str
) -> None:
    trust = "\n".join(map(ssl.DER_cert_to_PEM_cert, ssl.create_default_context().get_ca_certs(True)))
    operator, outside = Operator(tool_environment()), Outside()
    route = Route(resolver=outside.resolve, dialler=outside.dial)
    async with sandbox(bubblewrap_backend, operator, route, trust.encode()) as run:
        done = await run(f"{PIP} {pips_index}", timeout=120)
        assert (done.code, done.stderr) == (0, b"")
        done = await run(f"PYTHONPATH=found python3 -c 'import {pips_index} as m; print(m.__file__)'")
    assert done.stdout.startswith(b"/mnt/data/found/")
