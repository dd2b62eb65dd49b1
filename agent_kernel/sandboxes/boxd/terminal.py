"""A terminal for the user: a shell on a pseudo-terminal, carried by a channel."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import struct
import termios

from . import wire
from .commands import processes
from .handler import BoxHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .handler import BoxChannel
    from .loop import Loop

    Any = object


HANG_UP_AFTER = (0, 0.1, 1)


class PtyTerminal(BoxHandler):
    """Runs bash on a pseudo-terminal. Data in is typed, data out is shown, an event resizes the window."""

    def __init__(
        self,
        loop: Loop,
        channel: BoxChannel,
        environment: dict[str, str],
        directory: str,
        size: tuple[int, int],
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._typed = b""
        self._exit: int | None = None
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        self._resize(*size)
        self._pid = os.fork()
        if self._pid == 0:
            _become_shell(slave, directory, environment)
        os.close(slave)
        loop.on_exit(self._pid, self._ended)
        self._watch()

    def _watch(self) -> None:
        mask = selectors.EVENT_READ if self._channel.room else 0
        mask |= selectors.EVENT_WRITE if self._typed else 0
        self._loop.watch(self._master, mask, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and self._typed:
            with contextlib.suppress(BlockingIOError):
                written = os.write(self._master, self._typed)
                self._typed = self._typed[written:]
                self._channel.took(written)
        if mask & selectors.EVENT_READ and not self._show():
            return
        self._watch()

    def _show(self) -> bool:
        """Send what the terminal shows. Return False when its last process has closed it."""
        try:
            shown = os.read(self._master, min(wire.CHUNK, self._channel.room))
        except BlockingIOError:
            return True
        except OSError:  # EIO: no process has the other side open any more
            shown = b""
        if shown:
            self._channel.data(wire.STDOUT, shown)
            return True
        self._loop.watch(self._master, 0, None)
        self._tell()
        return False

    def _ended(self, status: int) -> None:
        self._exit = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        self._loop.after(0, self._tell)

    def _tell(self) -> None:
        """Answer once the shell has ended and all that it showed has been read."""
        if self._exit is None or self._master < 0:
            return
        with contextlib.suppress(OSError):
            while (room := self._channel.room) and (shown := os.read(self._master, min(wire.CHUNK, room))):
                self._channel.data(wire.STDOUT, shown)
        self._close()
        self._channel.result({"exit_code": self._exit})

    def _resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def on_data(self, stream: int, payload: wire.Bytes) -> None:
        """Type something."""
        self._typed += payload
        self._channel.took(wire.FRAME_COST)
        self._watch()

    def on_eof(self) -> None:
        """End the input, as Ctrl-D does."""
        self.on_data(wire.CONTENT, b"\x04")

    def on_event(self, value: dict[str, Any]) -> None:
        """Resize the window."""
        self._resize(int(str(value["rows"])), int(str(value["columns"])))

    def on_credit(self) -> None:
        """Go on showing."""
        if self._master >= 0:
            self._watch()

    def on_lost(self) -> None:
        """Hang up, as a closed terminal window does."""
        if self._master >= 0:
            self._close()
            for seconds in HANG_UP_AFTER:  # repeated, because processes may just be starting
                self._loop.after(seconds, lambda: processes.hang_up(self._pid))

    def _close(self) -> None:
        self._loop.watch(self._master, 0, None)
        os.close(self._master)
        self._master = -1


def _become_shell(slave: int, directory: str, environment: dict[str, str]) -> None:
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            os.dup2(slave, number)
        processes.default_signals()
        with contextlib.suppress(OSError):
            os.chdir(directory)
        here = dict(environment, TERM="xterm-256color")
        for name in ("EDITOR", "VISUAL"):  # they say that there is no terminal
            here.pop(name, None)
        os.execvpe("bash", ["bash", "--noprofile", "--norc", "-i"], here)  # noqa: S606
    finally:
        os._exit(127)
