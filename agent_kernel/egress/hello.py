"""Read the first message of a TLS connection (the ClientHello), which names the server in clear text.

Nothing of a connection is forwarded before its whole ClientHello is here and names the allowed host. A
second ClientHello, which a server may ask for, is checked in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_HELLO = 64 << 10
"""Bytes of a ClientHello; the largest ones in use have about 2 KiB."""

_MAX_HELD = 2 * MAX_HELLO
_MAX_RECORD = 1 << 14
_RECORD_HEADER = 5
_CHANGE_CIPHER_SPEC, _HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_CLIENT_HELLO = 1
_SERVER_NAME, _PROTOCOLS, _EARLY_DATA = 0, 16, 42
_HIDDEN_NAMES = frozenset({0xFE0D, 0xFFCE, *range(0xFF02, 0xFF05)})
"""Encrypted ClientHello, and its drafts."""


class BadHello(ValueError):
    """The ClientHello is malformed; the argument says how, as a phrase without bytes of it."""


class HiddenName(BadHello):
    """The ClientHello encrypts the server's name (ECH)."""


@dataclass(frozen=True)
class ClientHello:
    """What matters of a ClientHello: the server's name in lower case, or None if it names none."""

    server_name: str | None
    early_data: bool
    protocols: tuple[str, ...] = ()
    """The protocols that it offers (ALPN), the most wanted first."""


class _Fields:
    """Reads numbers and byte strings from the front of a message. Raises `BadHello` at a missing byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BadHello("its TLS ClientHello is malformed")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def block(self, width: int) -> bytes:
        """Return a byte string that follows its length of `width` bytes."""
        return self.take(self.number(width))


def parse_hello(body: bytes) -> ClientHello:
    """Read the body of a ClientHello, without its handshake header.

    Raises `BadHello` if it is malformed, `HiddenName` if it has an encrypted ClientHello.
    """
    fields = _Fields(body)
    fields.take(2 + 32)  # version and random
    fields.block(1)  # session id
    fields.block(2)  # cipher suites
    fields.block(1)  # compression methods
    if not fields.left:
        return ClientHello(None, early_data=False)
    extensions = _extensions(fields.block(2))
    if fields.left:
        raise BadHello("its TLS ClientHello is malformed")
    if _HIDDEN_NAMES & extensions.keys():
        raise HiddenName("its TLS ClientHello hides the server's name (ECH)")
    name = extensions.get(_SERVER_NAME)
    server_name = None if name is None else _server_name(name)
    return ClientHello(server_name, _EARLY_DATA in extensions, _protocols(extensions.get(_PROTOCOLS)))


def _extensions(data: bytes) -> dict[int, bytes]:
    fields, found = _Fields(data), dict[int, bytes]()
    while fields.left:
        kind = fields.number(2)
        if kind in found:  # readers differ in which of them counts
            raise BadHello("its TLS ClientHello has an extension twice")
        found[kind] = fields.block(2)
    return found


def _protocols(data: bytes | None) -> tuple[str, ...]:
    if data is None:
        return ()
    fields, found = _Fields(data), list[str]()
    names = _Fields(fields.block(2))
    while names.left:
        found.append(names.block(1).decode("latin-1"))
    if fields.left:
        raise BadHello("its TLS ClientHello is malformed")
    return tuple(found)


def _server_name(data: bytes) -> str:
    fields = _Fields(data)
    names = _Fields(fields.block(2))
    kind, name = names.number(1), names.block(2)
    if fields.left or names.left or kind or not name:
        raise BadHello("its TLS ClientHello has a malformed server name")
    try:
        text = name.decode("ascii")
    except UnicodeDecodeError:
        raise BadHello("its TLS ClientHello has a malformed server name") from None
    if not text.isprintable():
        raise BadHello("its TLS ClientHello has a malformed server name")
    return text.lower()


def _begins_hello(body: bytes) -> bool:
    """Whether a server could read a handshake record as the beginning of a ClientHello.

    Under TLS 1.2 the record can be an encrypted one, with any first byte, so more than that byte is compared.
    """
    return body[0] == _CLIENT_HELLO and body[1:2] <= b"\2" and body[4:5] in (b"", b"\3")


class HelloReader:
    """Reads the records of a TLS client up to its last ClientHello.

    `feed` takes bytes in pieces of any size, and returns the ClientHellos that they complete; `take` returns
    the bytes that may be forwarded. After `done` no byte is looked at.
    """

    def __init__(self) -> None:
        self.done = False
        self._records = bytearray()
        self._message = bytearray()
        self._held = bytearray()
        self._passed = bytearray()
        self._hellos = 0
        self._early_data = False

    def feed(self, data: bytes) -> list[ClientHello]:
        """Take bytes of the client. Raises `BadHello`."""
        found: list[ClientHello] = []
        self._records += data
        while not self.done and (record := self._record()):
            if hello := self._read(record):
                found.append(hello)
        if self.done:
            self._passed += self._records
            self._records.clear()
        if len(self._held) > _MAX_HELD:
            raise BadHello("its TLS ClientHello is too large")
        return found

    def take(self) -> bytes:
        """Return, once, the bytes that belong to checked messages."""
        passed = bytes(self._passed)
        self._passed.clear()
        return passed

    def _record(self) -> bytes | None:
        """Return the next whole record, or None if more bytes are needed."""
        if len(self._records) < _RECORD_HEADER:
            if self._records and self._records[0] not in (_HANDSHAKE, *self._others()):
                self._unexpected()
            return None
        kind, major = self._records[0], self._records[1]
        size = int.from_bytes(self._records[3:5], "big")
        if kind not in (_HANDSHAKE, *self._others()):
            self._unexpected()
            return None
        if major != 3 or not size or size > _MAX_RECORD + 256:
            raise BadHello("its TLS ClientHello is malformed")
        if len(self._records) < _RECORD_HEADER + size:
            return None
        record = bytes(self._records[: _RECORD_HEADER + size])
        del self._records[: _RECORD_HEADER + size]
        return record

    def _others(self) -> tuple[int, ...]:
        """The kinds of records that can come before a second ClientHello."""
        if not self._hellos or self._message:
            return ()
        return (_CHANGE_CIPHER_SPEC, _APPLICATION_DATA) if self._early_data else (_CHANGE_CIPHER_SPEC,)

    def _unexpected(self) -> None:
        if not self._hellos or self._message:
            raise BadHello("its first bytes are no TLS ClientHello")
        self.done = True

    def _read(self, record: bytes) -> ClientHello | None:
        kind, body = record[0], record[_RECORD_HEADER:]
        if kind != _HANDSHAKE:
            self._passed += record
            return None
        if not self._message and not _begins_hello(body):
            if not self._hellos:
                raise BadHello("its first bytes are no TLS ClientHello")
            self.done = True  # the handshake goes on: there is no second ClientHello
            self._passed += record
            return None
        self._held += record
        self._message += body
        if len(self._message) < 4:
            return None
        size = int.from_bytes(self._message[1:4], "big")
        if size > MAX_HELLO:
            raise BadHello("its TLS ClientHello is too large")
        if len(self._message) < 4 + size:
            return None
        if len(self._message) > 4 + size:
            raise BadHello("its TLS ClientHello is followed by other data")
        return self._complete(bytes(self._message[4:]))

    def _complete(self, body: bytes) -> ClientHello:
        hello = parse_hello(body)
        self._hellos += 1
        if self._hellos > 2:
            raise BadHello("it sends a third TLS ClientHello")
        self._early_data = self._early_data or hello.early_data
        self._passed += self._held
        self._held.clear()
        self._message.clear()
        return hello
