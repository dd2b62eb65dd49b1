"""Presets are read once in a while, keep what they know if an index is silent, and name no address."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.presets import presets
from agent_kernel.egress.presets.operator import Operator
from agent_kernel.egress.presets.presets import KEPT_PROBLEM_SECONDS, KEPT_SECONDS, PresetHosts, Presets
from agent_kernel.errors import InvalidRequest
from tests.egress.presets.world import World

PAGE = b'{"dist": {"tarball": "https://files.example.org/once.tgz"}}'
HOSTS = ["npm.example.org:443", "files.example.org:443"]


class Machine:
    """An operator's machine with npm's configuration, and a clock that tests set."""

    def __init__(self, home: Path, world: World, *private: str) -> None:
        self.world = world
        self.now = 0.0
        self.home = home
        self.configure("https://npm.example.org/")
        route = world.route(*private)
        self.presets = Presets(Operator({"HOME": str(home)}), route, clock=lambda: self.now)

    def configure(self, registry: str) -> None:
        (self.home / ".npmrc").write_text(f"registry={registry}\n")

    async def hosts(self) -> list[str]:
        return [str(rule) for rule in (await self.presets.hosts("npm")).rules]


@pytest.fixture
def machine(tmp_path: Path, world: World) -> Machine:
    world.pages["npm.example.org/once"] = PAGE
    return Machine(tmp_path, world)


async def test_hosts_are_read_once_in_ten_minutes(machine: Machine) -> None:
    assert await asyncio.gather(*(machine.hosts() for _ in range(5))) == [HOSTS] * 5
    assert machine.world.asked == ["npm.example.org/once", "files.example.org/once.tgz"]
    machine.configure("https://mirror.example.org/")
    machine.now = KEPT_SECONDS - 1
    assert await machine.hosts() == HOSTS
    machine.now = KEPT_SECONDS
    assert await machine.hosts() == ["mirror.example.org:443"]


async def test_silent_index_takes_no_host_away(machine: Machine) -> None:
    assert await machine.hosts() == HOSTS
    machine.world.pages.clear()
    for _ in range(2):
        machine.now += KEPT_SECONDS
        assert await machine.hosts() == HOSTS
    machine.world.pages["npm.example.org/once"] = PAGE.replace(b"files", b"newer")
    machine.now += KEPT_PROBLEM_SECONDS
    assert await machine.hosts() == [HOSTS[0], "newer.example.org:443"]
    machine.world.pages.clear()
    machine.now += KEPT_SECONDS
    assert await machine.hosts() == [HOSTS[0], "newer.example.org:443"]
    machine.configure("https://mirror.example.org/")
    machine.now += KEPT_SECONDS
    assert await machine.hosts() == ["mirror.example.org:443"]


async def test_index_without_an_answer_is_a_problem(machine: Machine) -> None:
    machine.world.pages.clear()
    found = await machine.presets.hosts("npm")
    assert [str(rule) for rule in found.rules] == HOSTS[:1]
    assert len(found.problems) == 1


async def test_index_that_does_not_answer_in_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(name: str) -> list[Address]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(presets, "FOLLOW_SECONDS", 0.01)
    monkeypatch.setattr(machine.world, "resolve", never)
    silent = Presets(Operator({"HOME": os.fspath(machine.home)}), machine.world.route())
    assert (await silent.hosts("npm")).problems == ("npm.example.org:443 did not answer in time",)


async def test_tool_without_configuration_is_refused(tmp_path: Path) -> None:
    own = Presets(Operator({"HOME": str(tmp_path)}))
    for read in (own.hosts("npm", param="p[1]"), asyncio.to_thread(own.configured, "npm", param="p")):
        with pytest.raises(InvalidRequest, match="npm names no host on this machine: npm is not") as refused:
            await read
        assert refused.value.request_code == "network_preset_without_hosts"
        assert "NPM_CONFIG_REGISTRY" in (refused.value.hint or "")
    assert refused.value.param == "p"


async def test_address_is_a_host_only_if_the_operator_names_it(tmp_path: Path, world: World) -> None:
    alone = Machine(tmp_path, world)
    alone.configure("http://10.0.0.5:4873/")
    assert await alone.hosts() == []
    world.pages["10.0.0.5:4873/once"] = b'{"tarball":"http://10.0.0.5:4873/once.tgz"}'
    named = Machine(tmp_path, world, "tcp://10.0.0.5:4873")
    named.configure("http://10.0.0.5:4873/")
    assert await named.presets.hosts("npm") == PresetHosts(NetworkPolicy.parse(["tcp://10.0.0.5:4873"]).rules)
    assert world.asked == ["10.0.0.5:4873/once", "10.0.0.5:4873/once.tgz"]


async def test_cancelled_reading_can_be_repeated(machine: Machine) -> None:
    reached, hold = asyncio.Event(), asyncio.Event()
    dial = machine.world.dial

    async def slow(*where: object) -> object:
        reached.set()
        await hold.wait()
        return await dial(*where)  # type: ignore[arg-type]

    route = dataclasses.replace(machine.world.route(), dialler=slow)  # type: ignore[arg-type]
    slow_presets = Presets(Operator({"HOME": os.fspath(machine.home)}), route)
    reading = asyncio.create_task(slow_presets.hosts("npm"))
    await reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    hold.set()
    assert [str(rule) for rule in (await slow_presets.hosts("npm")).rules] == HOSTS
