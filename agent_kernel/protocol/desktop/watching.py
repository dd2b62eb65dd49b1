"""What one who watches a desktop gets, and what the user does there with mouse and keyboard. No I/O.

Of the first all is a claim of the sandbox, of the second all comes from a page: both are checked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent_kernel.errors import InvalidRequest

Json = Mapping[str, Any]

LARGEST = 8192
"""Pixels of a screen's side, and the most that one turn of the wheel scrolls."""
MOST_EVENTS = 500
LONGEST_TEXT = 1000
LONGEST_KEY = 40
LAST_BUTTON = 9


@dataclass(frozen=True)
class ScreenPiece:
    """Rows of the screen from `top` on, as a PNG file. The screen is `width` x `height` pixels.

    `frame` counts what was sent; `last` says that the frame is complete with this.
    """

    frame: int
    last: bool
    top: int
    width: int
    height: int
    png: bytes


@dataclass(frozen=True)
class DesktopNews:
    """Whether the desktop runs, whether a user has taken over, and the action that the model carries out."""

    running: bool
    user: bool
    action: Json | None


class WatchedScreen(Protocol):
    """A desktop that somebody watches. Methods raise `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`."""

    async def read(self) -> ScreenPiece | DesktopNews:
        """Return what has changed next."""
        ...

    async def seen(self, frame: int) -> None:
        """Say that a frame was shown. The desktop is at most two ahead."""
        ...

    async def look(self) -> None:
        """Ask for the whole screen."""
        ...

    async def take(self) -> None:
        """Take over, once the action that runs is done: the model's next one waits. Starts a desktop.

        Raises `InvalidRequest` where there can be none. Cancelling takes nothing over.
        """
        ...

    async def act(self, events: Sequence[Json]) -> None:
        """Do what the user does; see `read_events`.

        Raises `InvalidRequest` if the user has not taken over, or the desktop has ended.
        """
        ...

    async def hand_back(self) -> None:
        """Let the model go on. Does nothing if the user has not taken over."""
        ...


_FIELDS: Mapping[str, tuple[str, ...]] = {
    "move": ("x", "y"),
    "press": ("x", "y", "button"),
    "release": ("x", "y", "button"),
    "wheel": ("x", "y", "right", "down"),
    "down": ("key",),
    "up": ("key",),
    "text": ("text",),
}
_NUMBERS: Mapping[str, tuple[int, int]] = {
    "x": (0, LARGEST),
    "y": (0, LARGEST),
    "button": (1, LAST_BUTTON),
    "right": (-LARGEST, LARGEST),
    "down": (-LARGEST, LARGEST),
}
_TEXTS: Mapping[str, int] = {"key": LONGEST_KEY, "text": LONGEST_TEXT}


_WORDS = 300


def read_action(given: object) -> Json | None:
    """Read the action that a desktop says is carried out; None if it is none. All its fields are plain."""
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        return None
    found: dict[str, Any] = {}
    for name in ("type", "text", "button", "x", "y", "scroll_x", "scroll_y"):
        value = given.get(name)
        if isinstance(value, str) or type(value) is int:
            found[name] = value[:_WORDS] if isinstance(value, str) else max(-LARGEST, min(value, LARGEST))
    keys, path = given.get("keys"), given.get("path")
    if isinstance(keys, list):
        found["keys"] = [each[:LONGEST_KEY] for each in keys[:10] if isinstance(each, str)]
    if isinstance(path, list):
        ends = [each for each in (path[:1] + path[-1:]) if isinstance(each, Mapping)]
        found["path"] = [{side: str(each.get(side))[:10] for side in ("x", "y")} for each in ends]
    return found


def read_events(given: object) -> Sequence[Json]:
    """Read what the user did, in its order. Raises `InvalidRequest`."""
    if not isinstance(given, list) or not 0 < len(given) <= MOST_EVENTS:
        raise InvalidRequest(f"events must be a list of 1 to {MOST_EVENTS} events.", param="events")
    return [_event(each, f"events[{index}]") for index, each in enumerate(given)]


def _event(given: object, where: str) -> Json:
    kind = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or not isinstance(kind, str) or kind not in _FIELDS:
        raise InvalidRequest(f"{where} must be an event of {', '.join(_FIELDS)}.", param=where)
    event: dict[str, Any] = {"type": kind}
    for name in _FIELDS[kind]:
        event[name] = value = given.get(name)
        if name in _TEXTS and not _is_text(value, _TEXTS[name]):
            raise InvalidRequest(f"{where}.{name} must be a string of UTF-8.", param=f"{where}.{name}")
        if name in _NUMBERS and not (type(value) is int and _NUMBERS[name][0] <= value <= _NUMBERS[name][1]):
            raise InvalidRequest(f"{where}.{name} must be a number in range.", param=f"{where}.{name}")
    return event


def _is_text(value: object, longest: int) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value:
        return False
    return not any(0xD800 <= ord(each) <= 0xDFFF for each in value)
