from __future__ import annotations

from ipaddress import ip_address

import pytest

from agent_kernel.egress.addresses import is_own, kind_of, refusal
from agent_kernel.egress.policy import NetworkPolicy, NetworkRule

PUBLIC = NetworkRule("example.org")
PRIVATE = NetworkRule("db.internal", port=5432, private=True)


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00::1"]
)
def test_public_address(text: str) -> None:
    assert kind_of(ip_address(text)) is None
    assert refusal(ip_address(text), PUBLIC) is None
    assert refusal(ip_address(text), PRIVATE) is None


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "127.0.0.1", "::1"],
)
def test_private_address_needs_a_private_rule(text: str) -> None:
    assert "its name leads to a " in str(refusal(ip_address(text), PUBLIC))
    assert refusal(ip_address(text), PRIVATE) is None


NEVER_BY_NAME = [
    *("169.254.169.254", "169.254.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
    *(
        "fe80::1",
        "fec0::1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "ff02::1",
    ),
    *(
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
    ),
    *("2001::1", "2001:db8::1", "198.18.0.1", "192.0.2.1", "5f00::1", "4000::1", "100::1", "192.88.99.1"),
]


@pytest.mark.parametrize("text", NEVER_BY_NAME)
def test_special_address_is_refused_by_name(text: str) -> None:
    assert refusal(ip_address(text), PUBLIC)
    assert refusal(ip_address(text), PRIVATE)


@pytest.mark.parametrize("entry", ["tcp://169.254.169.254:80", "tcp://[fd00:ec2::254]:80"])
def test_operator_can_name_a_special_address(entry: str) -> None:
    (rule,) = NetworkPolicy.parse([entry]).rules
    assert refusal(ip_address(rule.name), rule) is None
    assert refusal(ip_address("169.254.170.2"), rule)


def test_addresses_of_this_machine_are_known() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert is_own(ip_address("::1"))
    assert not is_own(ip_address("192.0.2.1"))
    assert not is_own(ip_address("2001:db8::1"))
