"""Attempts by other ways than TCP: other protocols, devices, and the network's own ports."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from functools import partial

from .ways import PROXY, PUBLIC, PUBLIC_IPV6, attempt, connect, each, read_all, socks


@attempt("UDP, QUIC for instance")
def _() -> str:
    def send(address: tuple[str, int]) -> str:
        with connect(address, socket.SOCK_DGRAM) as connected:
            connected.send(b"x" * 1200)
            return read_all(connected)

    mapped = socket.gethostbyname("index.test")
    return each(*(partial(send, (to, 443)) for to in (PUBLIC, PUBLIC_IPV6, mapped)))


@attempt("UDP or a listening port through the proxy")
def _() -> str:
    return each(*(partial(socks, b"index.test", command=command) for command in (2, 3)))


@attempt("ICMP")
def _() -> str:
    echo = b"\x08\0\xf7\xfe\0\0\0\1"

    def send(kind: int) -> str:
        with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as made:
            made.sendto(echo, (PUBLIC, 0))
            return "sent"

    return each(lambda: send(socket.SOCK_DGRAM), lambda: send(socket.SOCK_RAW))


@attempt("raw, packet and VSOCK sockets")
def _() -> str:
    def make(family: int, kind: int, protocol: int) -> str:
        socket.socket(family, kind, protocol).close()
        return "made"

    kinds = (
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP),
        (socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
        (socket.AF_VSOCK, socket.SOCK_STREAM, 0),
    )
    return each(*(partial(make, *kind) for kind in kinds))


@attempt("a new address, route or device")
def _() -> str:
    def address() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            request = struct.pack("16sH2s4s8x", b"lo", socket.AF_INET, b"", socket.inet_aton("10.1.2.3"))
            fcntl.ioctl(made, 0x8916, request)  # SIOCSIFADDR
            return "made"

    def netlink(kind: int, body: bytes) -> str:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
            # NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE
            made.send(struct.pack("=IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
            code = -struct.unpack_from("=i", made.recv(1 << 16), 16)[0]
            raise OSError(code, os.strerror(code))

    route = struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack("=HHI", 8, 4, 1)
    device = (
        struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        + struct.pack("=HH", 16, 18)
        + struct.pack("=HH8s", 12, 1, b"dummy\0")
    )
    return each(address, lambda: netlink(24, route), lambda: netlink(16, device))


@attempt("a listener on a port of the network's")
def _() -> str:
    def take(address: str, port: int, *options: int) -> str:
        with socket.socket() as made:
            for option in options:
                made.setsockopt(socket.SOL_SOCKET, option, 1)
            made.bind((address, port))
            made.listen()
            return "taken"

    targets = (("0.0.0.0", 443), (socket.gethostbyname("index.test"), 443), ("127.0.0.1", 53), PROXY)
    options = ((), (socket.SO_REUSEADDR, socket.SO_REUSEPORT))
    return each(*(partial(take, *to, *how) for to in targets for how in options))
