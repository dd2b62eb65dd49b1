"""The resolver's messages, with no I/O: a query in, an answer out. Every name has an IPv4 address.

An answer never needs a second query: it holds one record at most. No query leaves the sandbox.
"""

from __future__ import annotations

import socket
import struct

from .names import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .names import NameTable

TTL = 60
"""Seconds for which programs may keep an answer."""

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = ("localhost", "sandbox")

_HEADER = struct.Struct("!6H")
_RESPONSE, _RECURSION, _OPCODE = 0x8080, 0x0100, 0x7800
_NO_ERROR, _MALFORMED, _NO_NAME, _NOT_IMPLEMENTED = 0, 1, 3, 4
_A, _PTR, _ANY, _INTERNET = 1, 12, 255, 1
_TO_THE_QUESTION = b"\xc0\x0c"


def answer(query: bytes, names: NameTable) -> bytes | None:
    """Return the answer to a query, or None for a message that must not be answered."""
    if len(query) < _HEADER.size:
        return None
    number, flags, questions = _HEADER.unpack_from(query)[:3]
    if flags & 0x8000:  # an answer: two resolvers could answer each other for ever
        return None
    if flags & _OPCODE:
        return _header(number, flags, _NOT_IMPLEMENTED, 0, 0)
    question = _question(query) if questions == 1 else None
    if question is None:
        return _header(number, flags, _MALFORMED, 0, 0)
    end, name, kind, group = question
    code, record = _NO_ERROR, b""
    if name is None or name.endswith(".arpa"):
        pointed = names.name(_reversed(name)) if name and kind == _PTR else None
        code, record = (_NO_ERROR, _wire_name(pointed)) if pointed else (_NO_NAME, b"")
        kind = _PTR
    elif kind in (_A, _ANY) and group in (_INTERNET, _ANY):
        local = name in LOCAL_NAMES or name.endswith(".localhost")
        record, kind = socket.inet_aton(LOOPBACK if local else names.address(name)), _A
    head = _header(number, flags, code, 1, 1 if record else 0) + query[_HEADER.size : end]
    if not record:
        return head
    return head + _TO_THE_QUESTION + struct.pack("!HHIH", kind, _INTERNET, TTL, len(record)) + record


def _header(number: int, flags: int, code: int, questions: int, answers: int) -> bytes:
    return _HEADER.pack(number, _RESPONSE | flags & (_OPCODE | _RECURSION) | code, questions, answers, 0, 0)


def _question(query: bytes) -> tuple[int, str | None, int, int] | None:
    """Read the one question: its end, its canonical name (None: no host name), its type and class."""
    labels, at = [], _HEADER.size
    while at < len(query) and query[at]:
        length = query[at]
        if length > 63 or at + 1 + length >= len(query) or at + length > _HEADER.size + 253:
            return None
        labels.append(query[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 5 > len(query):
        return None
    kind, group = struct.unpack_from("!HH", query, at + 1)
    # A dot within a label is no separator.
    proper = labels and not any(b"." in label for label in labels)
    name = canonical(b".".join(labels).decode("latin-1")) if proper else None
    return at + 5, name, kind, group


def _reversed(name: str) -> str:
    """Return the address that a name such as `1.0.64.127.in-addr.arpa` asks about."""
    return ".".join(reversed(name[: -len(".in-addr.arpa")].split("."))) if "in-addr" in name else ""


def _wire_name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.split(".")) + b"\0"
