"""The network inside one sandbox: which ports its listeners take, and which variables point to the proxy.

A sandbox has no network device. With a `Network`, boxd answers names with loopback addresses of its own and
listens on them. It carries each connection to the host, where an `Egress` decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_kernel.errors import InvalidRequest

PROXY_PORT = 3128
"""The port on 127.0.0.1 inside that speaks HTTP proxy (CONNECT and absolute form) and SOCKS5."""

DNS_PORT = 53
MOST_PORTS = 64
RESERVED = (PROXY_PORT, DNS_PORT)

RESOLV_CONF = b"nameserver 127.0.0.1\n"
HOSTS = b"127.0.0.1 localhost sandbox\n::1 localhost\n"


@dataclass(frozen=True)
class Network:
    """A network for a sandbox. `ports` are transparent: a program connects to a name there as usual.

    Other ports are reached through the proxy. Without ports there is only the proxy, and no resolver. What
    may be reached is not decided here but by the `Egress` on the host. `variables` are names and values for
    the environment of commands, such as the index that pip uses.
    """

    ports: tuple[int, ...] = (80, 443, 22)
    variables: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """Raise `InvalidRequest` for ports that the listeners cannot take."""
        for port in self.ports:
            if type(port) is not int or not 0 < port < 1 << 16 or port in RESERVED:
                raise InvalidRequest(f"{port!r} cannot be a port of a sandbox's network.", param="network")
        if len(set(self.ports)) != len(self.ports) or len(self.ports) > MOST_PORTS:
            raise InvalidRequest(
                f"A sandbox's network has at most {MOST_PORTS} different ports.", param="network"
            )


def variables() -> dict[str, str]:
    """Return the variables that point programs to the proxy, in both cases.

    All name it as an HTTP proxy: clients without SOCKS support fail at once if `ALL_PROXY` names SOCKS.
    """
    proxy = f"http://127.0.0.1:{PROXY_PORT}"
    names = {
        "http_proxy": proxy,
        "https_proxy": proxy,
        "all_proxy": proxy,
        "no_proxy": "localhost,127.0.0.1,::1",
    }
    return {**names, **{name.upper(): value for name, value in names.items()}}
