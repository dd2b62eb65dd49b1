"""Which addresses a connection out of a sandbox may go to.

The tables are ours: those of `ipaddress` change between Python releases, and call some addresses global that
lead to private ones (6to4, NAT64).
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network

from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkRule

_METADATA = frozenset(
    ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200"),
        *(
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "fd00:c1::a9fe:a9fe",
        ),
    )
)
"""Where clouds serve credentials to their machines."""

_KINDS = {
    "an unspecified address": ("0.0.0.0/8", "::/128"),
    "a loopback address": ("127.0.0.0/8", "::1/128"),
    "a link-local address": ("169.254.0.0/16", "fe80::/10", "fec0::/10"),
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "a translated address": ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"),
    "a reserved address": (
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
    ),
}
_NETWORKS = [(kind, ip_network(text)) for kind, texts in _KINDS.items() for text in texts]
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_PRIVATE_KINDS = frozenset({"a private address", "a loopback address"})


@lru_cache(1024)
def kind_of(address: Address) -> str | None:
    """Return None for a public address, otherwise its kind as a phrase (`a private address`)."""
    if address in _METADATA:
        return "a metadata address"
    for kind, network in _NETWORKS:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, IPv4Address) or address in _GLOBAL_IPV6:
        return None
    return "a reserved address"


def refusal(address: Address, rule: NetworkRule) -> str | None:
    """Return why `rule` does not allow `address`, as a phrase, or None if it does.

    A private rule also allows private and loopback addresses, and this machine's public ones. Every other
    kind, metadata for instance, is allowed only by a private rule that names the very address.
    """
    kind = kind_of(address)
    if kind is None and not rule.private and is_own(address):
        kind = "this machine"  # its services may trust what comes from itself
    if kind is None or (rule.private and kind in _PRIVATE_KINDS):
        return None
    if rule.private and rule.name == str(address):
        return None
    return f"its name leads to {kind} ({address})"


def is_own(address: Address) -> bool:
    """Return whether an address belongs to this machine. Nothing is sent."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
        except OSError:  # it cannot be reached at all, which the connection reports
            return False
        return ip_address(probe.getsockname()[0]) == address
