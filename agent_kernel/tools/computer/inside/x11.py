"""A connection to an X server that speaks the few requests that a desktop's driver needs.

Written against the X11 protocol, so that no library of the sandbox's image is needed and a server that ends
raises `ServerGone` instead of ending this process, as Xlib would.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

_SYNC = 43  # GetInputFocus: the cheapest request with an answer
_EXTENSION_EVENT = 35


class ServerGone(Exception):
    """The X server has ended."""


class ServerError(Exception):
    """The X server refused a request."""


class Connection:
    """A connection to one display. `width` and `height` of its screen are in pixels.

    Whoever waits for events stops when `wake` or `wish` becomes readable: `woken` is set then, and for the
    second `wished` too.
    """

    def __init__(self, display: str, wake: int = -1, wish: int = -1) -> None:
        """Connect to the server at `/tmp/.X11-unix`. Raises `ServerGone`."""
        self.woken = self.wished = False
        self._wake = [each for each in (wake, wish) if each >= 0]
        self._wish = wish
        self._socket = socket.socket(socket.AF_UNIX)
        self._received = bytearray()
        self._unsent = bytearray()
        self._events: list[bytes] = []
        self._requests = 0
        self._extensions: dict[str, tuple[int, int]] = {}
        self._atoms: dict[str, int] = {}
        try:
            self._socket.connect("/tmp/.X11-unix/X" + display.lstrip(":"))  # noqa: S108 (X's own place)
        except OSError as error:
            raise ServerGone(str(error)) from error
        self._greet()

    def _greet(self) -> None:
        self._send(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        head = self._take(8)
        body = self._take(4 * struct.unpack_from("<H", head, 6)[0])
        if head[0] != 1:
            raise ServerGone("the server refuses the connection")
        setup = head + body
        self.id_base, self.id_mask = struct.unpack_from("<II", setup, 12)
        vendor, formats = struct.unpack_from("<H", setup, 24)[0], setup[29]
        self.min_keycode, self.max_keycode = setup[34], setup[35]
        at = 40 + vendor + -vendor % 4 + 8 * formats
        (self.root,) = struct.unpack_from("<I", setup, at)
        self.width, self.height = struct.unpack_from("<HH", setup, at + 20)

    def begin(self) -> None:
        """Forget that somebody woke this, and the wishes of before."""
        self.woken = self.wished = False
        while self._wish >= 0 and select.select([self._wish], [], [], 0)[0]:
            os.read(self._wish, 64)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def request(self, opcode: int, data: int, body: bytes = b"") -> None:
        """Add a request without an answer to those that the next `flush` sends."""
        body += b"\0" * (-len(body) % 4)
        self._unsent += struct.pack("<BBH", opcode, data, 1 + len(body) // 4) + body
        self._requests += 1

    def ask(self, opcode: int, data: int, body: bytes = b"") -> bytes:
        """Send a request and return its answer. Raises `ServerGone`, `ServerError` (also of earlier ones)."""
        self.request(opcode, data, body)
        self.flush()
        wanted = self._requests & 0xFFFF
        while True:
            found = self._read()
            number = struct.unpack_from("<H", found, 2)[0]
            if found[0] == 0:
                raise ServerError("error %d of request %d" % (found[1], found[10]))
            if found[0] == 1 and number == wanted:
                return found
            self._events.append(found)

    def flush(self) -> None:
        """Send the requests that were added."""
        unsent, self._unsent = bytes(self._unsent), bytearray()
        self._send(unsent)

    def sync(self) -> None:
        """Send the requests and wait until the server has carried them out."""
        self.ask(_SYNC, 0)

    def extension(self, name: str) -> tuple[int, int]:
        """Return the opcode and the first event of an extension. Raises `ServerError` if there is none."""
        if name not in self._extensions:
            raw = name.encode()
            answer = self.ask(98, 0, struct.pack("<Hxx", len(raw)) + raw)
            if not answer[8]:
                raise ServerError("the X server has no " + name)
            self._extensions[name] = answer[9], answer[10]
        return self._extensions[name]

    def atom(self, name: str) -> int:
        """Return the number of a name."""
        if name not in self._atoms:
            raw = name.encode()
            (number,) = struct.unpack_from("<I", self.ask(16, 0, struct.pack("<Hxx", len(raw)) + raw), 8)
            self._atoms[name] = number
        return self._atoms[name]

    def events(self, until: float) -> list[bytes]:
        """Return the events that have come; wait for the first one up to the time `until` (monotonic)."""
        while not self._events and self._readable(max(0.0, until - time.monotonic())):
            self._keep(self._read())
        while self._readable(0):
            self._keep(self._read())
        found, self._events = self._events, []
        return found

    def _keep(self, found: bytes) -> None:
        if found[0] == 0:
            raise ServerError("error %d of request %d" % (found[1], found[10]))
        self._events.append(found)

    def _readable(self, seconds: float) -> bool:
        if len(self._received) >= 32:
            return True
        ready = select.select([self.fileno(), *self._wake], [], [], seconds)[0]
        for wake in set(self._wake).intersection(ready):
            os.read(wake, 64)
            self.woken = True
            self.wished |= wake == self._wish
        return self.fileno() in ready

    def _read(self) -> bytes:
        head = self._take(32)
        if head[0] in (1, _EXTENSION_EVENT):
            return head + self._take(4 * struct.unpack_from("<I", head, 4)[0])
        return head

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                piece = self._socket.recv(max(1 << 16, size - len(self._received)))
            except OSError as error:
                raise ServerGone(str(error)) from error
            if not piece:
                raise ServerGone("the X server has ended")
            self._received += piece
        found = bytes(self._received[:size])
        del self._received[:size]
        return found

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ServerGone(str(error)) from error
