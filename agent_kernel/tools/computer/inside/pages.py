"""What the browser's pages have at each place: passwords, payments, forms, downloads, links to other sites.

It asks over the browser's debugging pipe, which nothing else in the sandbox can open. The look-up runs in a
world of its own, so a page's scripts cannot change it; but a page can look like something else.
"""

from __future__ import annotations

import json
import os
import re
import select
import time

from agent_kernel.tools.computer.inside import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ANSWER = 5.0
"""Seconds that the browser may take to answer."""
_LONGEST = 4 << 20
_MOST = 60
"""Places of one page."""
_WORLD = "agent-kernel"

_EVERYWHERE = {"kind": "form", "label": "the page does not answer", "box": [0, 0, 1 << 20, 1 << 20]}
SILENT: dict[str, Any] = {
    "host": "", "zones": [_EVERYWHERE], "focus": True, "typed": None, "enter": "form",
}  # fmt: skip


class BrowserPages:
    """The pages of a browser. `read` and `write` are our ends of its debugging pipe."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        os.set_blocking(write, False)
        self._number = 0
        self._received = bytearray()
        self._sessions: dict[str, str] = {}
        self._loading: set[tuple[str, str]] = set()  # sessions and frames

    def look(self) -> list[dict[str, Any]]:
        """Return what each page that shows has. One that does not answer counts as a form everywhere."""
        try:
            return [seen for target in self._targets() if (seen := self._look(target)) is not None]
        except (OSError, ValueError, KeyError, TypeError):  # the browser has ended, or speaks otherwise
            return [SILENT]

    def loaded(self, until: float) -> bool:
        """Wait until no page loads, at most until the time `until` (monotonic). Return whether that is so."""
        try:
            for target in self._targets():
                self._attached(target)
            while self._loading and (message := self._message(until)) is not None:
                self._heard(message)
        except (OSError, ValueError, KeyError, TypeError):
            return True
        return not self._loading

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)

    def _targets(self) -> list[str]:
        found = self._ask("Target.getTargets", {}) or {"targetInfos": []}
        return [each["targetId"] for each in found["targetInfos"] if each["type"] == "page"]

    def _attached(self, target: str) -> str | None:
        """Return the session with a page, which tells what loads there; None if there is none."""
        if target not in self._sessions:
            attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})
            if attached is None:
                return None
            self._sessions[target] = attached["sessionId"]
            self._ask("Page.enable", {}, self._sessions[target])
        return self._sessions[target]

    def _look(self, target: str) -> dict[str, Any] | None:
        session = self._attached(target)
        if session is None:
            return SILENT
        frames = self._ask("Page.getFrameTree", {}, session)
        if frames is None:  # it shows a dialog, or does nothing else
            return SILENT
        frame = {"frameId": frames["frameTree"]["frame"]["id"], "worldName": _WORLD}
        world = self._ask("Page.createIsolatedWorld", frame, session)
        if world is None:
            return SILENT
        asked = {
            "expression": look.LOOK,
            "returnByValue": True,
            "contextId": world["executionContextId"],
        }
        answer = self._ask("Runtime.evaluate", asked, session)
        seen = answer["result"].get("value") if answer is not None else None
        if not isinstance(seen, dict):
            return SILENT
        return placed(seen) if seen["shown"] else None

    def _ask(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any] | None:
        """Return the result of a command, None if it failed or was not answered in time."""
        self._number += 1
        to = {"sessionId": session} if session else {}
        line = json.dumps({"id": self._number, "method": method, "params": params, **to}).encode() + b"\0"
        os.write(self._write, line)
        until = time.monotonic() + _ANSWER
        while (message := self._message(until)) is not None:
            if message.get("id") == self._number:
                result: dict[str, Any] | None = message.get("result")
                return result
            self._heard(message)
        return None

    def _message(self, until: float) -> dict[str, Any] | None:
        """Return the next message, None if there is none by the time `until`. Raises `OSError`."""
        while (end := self._received.find(b"\0")) < 0:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                return None
            piece = os.read(self._read, 65536)
            self._received += piece
            if not piece or len(self._received) > _LONGEST:
                raise OSError("the browser's pipe has ended")
        message: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        return message

    def _heard(self, message: dict[str, Any]) -> None:
        """Note what an event says about loading."""
        session, frame = message.get("sessionId", ""), message.get("params", {}).get("frameId", "")
        if message.get("method") == "Page.frameStartedLoading":
            self._loading.add((session, frame))
        elif message.get("method") in ("Page.frameStoppedLoading", "Page.frameDetached"):
            self._loading.discard((session, frame))
        elif message.get("method") == "Target.detachedFromTarget":
            gone = message["params"]["sessionId"]
            self._loading = {each for each in self._loading if each[0] != gone}
            self._sessions = {target: kept for target, kept in self._sessions.items() if kept != gone}


def placed(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what a page has, its places in pixels of the screen."""
    ratio = seen["ratio"]
    zones = [
        {
            "kind": str(kind),
            "label": str(label),
            "box": [round((seen["dx"] + left) * ratio), round((seen["dy"] + top) * ratio),
                    round((seen["dx"] + right) * ratio), round((seen["dy"] + bottom) * ratio)],
        }
        for kind, label, left, top, right, bottom in seen["found"][:_MOST]
    ]  # fmt: skip
    focused = seen["focus"]
    return {
        "host": str(seen["host"]),
        "zones": zones,
        "focus": focused,
        "typed": seen["typed"] if focused else None,
        "enter": seen["enter"] if focused else None,
    }


def risk_of(action: dict[str, Any], pages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the place that an action would touch: its kind, label, host and box; None: no such place."""
    kind = action["type"]
    if kind in ("click", "double_click", "drag"):
        place = action["path"][-1] if kind == "drag" else action
        for page in pages:
            for zone in page["zones"]:
                left, top, right, bottom = zone["box"]
                if left <= place["x"] < right and top <= place["y"] < bottom:
                    return {**zone, "host": page["host"]}
        return None
    if kind not in ("type", "keypress"):
        return None
    presses = "\n" in action["text"] if kind == "type" else _presses(action["keys"])
    for page in pages:
        found = (page["typed"] if kind == "type" else None) or (page["enter"] if presses else None)
        if found:
            return {"kind": found, "label": "", "host": page["host"]}
    if kind == "type" and not any(page["focus"] for page in pages):
        return _address(action["text"], {page["host"] for page in pages})
    return None


def _presses(keys: list[str]) -> bool:
    return any(key.strip().lower() in _ENTER for each in keys for key in each.split("+"))


def _address(text: str, known: set[str]) -> dict[str, Any] | None:
    """Return the site that an address typed outside of a page leads to, None if it is not another one."""
    found = _ADDRESS.match(text.strip())
    host = found[1].lower() if found else ""
    if not host or host in known or _LOOPBACK.match(host):
        return None
    return {"kind": "domain", "label": host[:60], "host": host[:60]}


_ENTER = ("enter", "return", "kp_enter", "space", "")
_ADDRESS = re.compile(r"(?:https?://)?((?:[\w-]+\.)+[\w-]+(?::\d+)?)(?:[/?#].*)?$", re.IGNORECASE)
_LOOPBACK = re.compile(r"(127\.[\d.]+|localhost)(:\d+)?$")
