from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from agent_kernel.egress import resolve
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkRule
from agent_kernel.egress.resolve import checked_addresses, connect_first, dial, system_resolver
from agent_kernel.errors import ConnectDenied

ADDRESSES: list[Address] = [ip_address(f"127.0.0.{number}") for number in range(1, 5)]
PUBLIC = NetworkRule("example.org")


class Paths:
    """A dialler whose addresses refuse, hang or connect; it closes what it made if it is cancelled."""

    def __init__(self, **kinds: str) -> None:
        self._kinds = {ip_address(f"127.0.0.{name[1:]}"): kind for name, kind in kinds.items()}
        self.began: list[Address] = []
        self.cancelled: list[Address] = []
        self.made: list[socket.socket] = []

    async def dial(self, address: Address, port: int) -> socket.socket:
        self.began.append(address)
        kind = self._kinds[address]
        if kind == "refuses":
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"refused by {address}")
        if kind == "hangs":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.append(address)
        self.made.append(socket.socket())
        return self.made[-1]


async def test_system_resolver_reads_the_hosts_file() -> None:
    assert ip_address("127.0.0.1") in await system_resolver("localhost")


async def test_system_resolver_reports_an_unknown_name() -> None:
    with pytest.raises(OSError, match=r".") as caught:
        await system_resolver("no-host.invalid")
    assert caught.value.strerror


async def test_system_resolver_adds_no_search_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def lookup(name: str, *_: object, **__: object) -> list[object]:
        asked.append(name)
        return [(2, 1, 6, "", ("1.1.1.1", 0)), (10, 1, 6, "", ("fe80::1%eth0", 0, 0, 2))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert await system_resolver("api.example.org") == [ip_address("1.1.1.1")]
    assert await system_resolver("db") == [ip_address("1.1.1.1")]
    assert asked == ["api.example.org.", "db"]


async def test_families_take_turns_and_are_bounded() -> None:
    v4 = [ip_address(f"1.1.1.{number}") for number in range(20)]
    v6 = [ip_address(f"2606:4700::{number}") for number in range(2)]

    async def resolver(name: str) -> Sequence[Address]:
        return [*v4, ip_address("10.0.0.1"), *v6]

    found = await checked_addresses("example.org", PUBLIC, resolver)
    assert found == [v6[0], v4[0], v6[1], v4[1], *v4[2:6]]


async def test_slow_name_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolver(name: str) -> Sequence[Address]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(resolve, "RESOLVE_SECONDS", 0.01)
    with pytest.raises(OSError, match="name server did not answer"):
        await checked_addresses("example.org", PUBLIC, resolver)


async def test_address_of_a_rule_is_not_resolved() -> None:
    async def resolver(name: str) -> Sequence[Address]:
        raise AssertionError(name)

    rule = NetworkRule("10.0.0.5", port=5432, private=True)
    assert await checked_addresses("10.0.0.5", rule, resolver) == [ip_address("10.0.0.5")]
    with pytest.raises(ConnectDenied, match="private address"):
        await checked_addresses("10.0.0.5", PUBLIC, resolver)


@pytest.mark.parametrize(
    ("kinds", "winner"),
    [
        ({"a1": "connects", "a2": "connects"}, 1),
        ({"a1": "refuses", "a2": "connects"}, 2),
        ({"a1": "hangs", "a2": "connects"}, 2),
        ({"a1": "hangs", "a2": "refuses", "a3": "connects", "a4": "connects"}, 3),
    ],
)
async def test_first_address_that_answers_is_used(
    kinds: dict[str, str], winner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "_STAGGER_SECONDS", 0.01)
    paths = Paths(**kinds)
    address, connected = await connect_first(ADDRESSES[: len(kinds)], 443, paths.dial)
    connected.close()
    assert address == ADDRESSES[winner - 1]
    assert paths.began == ADDRESSES[:winner]
    await asyncio.sleep(0)  # the others end in the loop's next turn
    assert paths.cancelled == [
        ADDRESSES[int(name[1:]) - 1] for name, kind in kinds.items() if kind == "hangs"
    ]
    assert paths.made == [connected]


async def test_first_failure_is_reported() -> None:
    with pytest.raises(ConnectionRefusedError, match=r"refused by 127\.0\.0\.1"):
        await connect_first(ADDRESSES[:2], 443, Paths(a1="refuses", a2="refuses").dial)


async def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "CONNECT_SECONDS", 0.01)
    paths = Paths(a1="hangs")
    with pytest.raises(OSError, match="server did not answer in time"):
        await connect_first(ADDRESSES[:1], 443, paths.dial)
    await asyncio.sleep(0)
    assert paths.cancelled == ADDRESSES[:1]


async def test_attempt_that_connects_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_STAGGER_SECONDS", 0.0)
    made: list[socket.socket] = []
    together = asyncio.Barrier(2)

    async def dialler(address: Address, port: int) -> socket.socket:
        await together.wait()
        made.append(socket.socket())
        return made[-1]

    _, connected = await connect_first(ADDRESSES[:2], 443, dialler)
    await asyncio.sleep(0)
    assert [each.fileno() == -1 for each in made] == [each is not connected for each in made]
    assert len(made) == 2
    connected.close()


async def test_refused_port_is_reported_without_the_address() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError) as caught:
            await dial(ADDRESSES[0], bound.getsockname()[1])
    assert caught.value.strerror == "Connection refused"
