"""What the driver tells those who watch the desktop, and their wish that the user may act.

Both go by datagram sockets in a folder of the sandbox. Whoever watches binds a socket there first and then
reads the file with the newest state, so that nothing is missed in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FOLDER = os.path.join(os.path.expanduser("~"), ".cache", "agent-kernel-desktop")
_STATE, _WISHES, _WATCHERS = (os.path.join(_FOLDER, name) for name in ("state", "wishes", "watchers"))
_TEXT = 200
"""Characters of a text that those who watch are told."""
LARGEST = 1 << 16


class News:
    """The driver's end. `wishes` becomes readable when somebody wants the user to act."""

    def __init__(self) -> None:
        os.makedirs(_WATCHERS, mode=0o700, exist_ok=True)
        self._state: dict[str, Any] = {"display": None, "action": None, "user": False}
        self.wishes = _bound(_WISHES)

    def tell(self, **changes: Any) -> None:
        """Change the state, and tell all who watch."""
        self._state.update(changes)
        data = json.dumps(self._state).encode()[:LARGEST]
        with open(_STATE + ".new", "wb") as file:
            file.write(data)
        os.replace(_STATE + ".new", _STATE)
        for name in os.listdir(_WATCHERS):
            path = os.path.join(_WATCHERS, name)
            try:
                self.wishes.sendto(data, path)
            except BlockingIOError:
                continue  # it has not read for long; the state that it reads next is as good
            except OSError:  # nobody has it open any more
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def begins(self, action: dict[str, Any]) -> None:
        """Tell that an action begins."""
        self.tell(action={**action, **_cut(action)})


class Watching:
    """The end of one who watches."""

    def __init__(self) -> None:
        os.makedirs(_WATCHERS, mode=0o700, exist_ok=True)
        self.socket = _bound(os.path.join(_WATCHERS, str(os.getpid())))

    def known(self) -> dict[str, Any]:
        """Return the newest state in the file; empty if there is none."""
        try:
            with open(_STATE, "rb") as file:
                return _read(file.read(LARGEST))
        except OSError:
            return {}

    def news(self) -> dict[str, Any]:
        """Return the next state. The socket must be readable."""
        return _read(self.socket.recv(LARGEST))

    def wish(self) -> None:
        """Ask the driver to stop before its next action, so that the user can act."""
        with contextlib.suppress(OSError):  # there is no driver, or it has many wishes already
            self.socket.sendto(b"!", _WISHES)


def _cut(action: dict[str, Any]) -> dict[str, Any]:
    return {"text": action["text"][:_TEXT]} if isinstance(action.get("text"), str) else {}


def _read(data: bytes) -> dict[str, Any]:
    found = json.loads(data)
    return found if isinstance(found, dict) else {}


def _bound(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(path)
    return made
