"""The table of names: each name that a program asks for has a loopback address of its own."""

from __future__ import annotations

import collections
import re
import socket
import struct

FIRST = 0x7F400001
"""127.64.0.1, the first address that is given to a name."""

ADDRESSES = (1 << 22) - 2
"""How many addresses there are, up to 127.127.255.254."""

MOST = 4096
"""The most names that are remembered. One more forgets the name that was not used for longest."""

NAME_LIMIT = 253
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")


def canonical(name: str) -> str | None:
    """Return a host name in lower case without a dot at its end, or None if it cannot be one."""
    lowered = (name[:-1] if name.endswith(".") else name).lower()
    return lowered if len(lowered) <= NAME_LIMIT and _NAME.fullmatch(lowered) else None


class NameTable:
    """Gives addresses to names. An address is not given again until all others have been."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._addresses: collections.OrderedDict[str, str] = collections.OrderedDict()
        self._names: dict[str, str] = {}
        self._next = 0

    def address(self, name: str) -> str:
        """Return the address of a canonical name."""
        if name not in self._addresses:
            while len(self._addresses) >= self._most:
                del self._names[self._addresses.popitem(last=False)[1]]
            self._add(name)
        self._addresses.move_to_end(name)
        return self._addresses[name]

    def _add(self, name: str) -> None:
        while True:
            address = socket.inet_ntoa(struct.pack("!I", FIRST + self._next))
            self._next = (self._next + 1) % ADDRESSES
            if address not in self._names:
                break
        self._addresses[name] = address
        self._names[address] = name

    def name(self, address: str) -> str | None:
        """Return the name that has an address, or None."""
        name = self._names.get(address)
        if name is not None:
            self._addresses.move_to_end(name)
        return name

    def target(self, host: str) -> str:
        """Return what a program means by a host: the name, if it is an address that a name has here."""
        return self.name(host) or host
