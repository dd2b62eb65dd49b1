"""The driver's loop: one request a line, answered by a line for each screenshot and one at the end.

A request has `id`, `settings` of the desktop, `actions`, and `quiet` and `longest`, the seconds for which the
screen must be at rest after an action and which that may take. `rules` are kinds of places that an action may
touch only if `allowed` is that place. `begun` tells at once that it was read. SIGINT stops it between two
steps, and so does the wish of one who watches that the user may act; `first` is the step to go on with after
that. Instead of `actions` a request can have `user`: what the user does with mouse and keyboard.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from agent_kernel.tools.computer.inside import actions, desktop, hands, news, pages, programs, x11

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ACTING = ("click", "double_click", "drag", "keypress", "type")
LOOKING = ("screenshot", "wait")
USER_ACTED = "The user took over the mouse and the keyboard, and has acted since the last screenshot."
CHANGED = (
    "The desktop of this container is %dx%d, scale %g, locale %s. It keeps these until the container ends."
)


def main() -> None:
    """Answer requests until the input ends."""
    wake, written = os.pipe()
    os.set_blocking(written, False)
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    driver = Driver(wake, news.News())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _print({"id": request["id"], "begun": True})
        try:
            for answer in driver.answer(request):
                _print({"id": request["id"], **answer})
        except programs.NoDesktop as error:
            _print({"id": request["id"], "error": "no desktop", "why": str(error)})
            return
        except (x11.ServerGone, x11.ServerError) as error:
            _print({"id": request["id"], "error": "ended", "why": str(error)[:200]})
            return  # what the desktop has started ends with this process


class Driver:
    """The desktop, once it is started."""

    def __init__(self, wake: int, told: news.News) -> None:
        self._wake = wake
        self._news = told
        self._user_acted = False
        self._desktop: desktop.Desktop | None = None

    def answer(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the answers to a request. Raises `NoDesktop`, `x11.ServerGone`, `x11.ServerError`."""
        found = self._started(request["settings"], as_it_is="user" in request)
        if isinstance(found, str):
            yield {"error": "settings", "why": found}
            return
        if "user" in request:
            yield from self._user(found, request["user"])
            return
        try:
            yield from self._batch(found, request)
        finally:
            self._news.tell(action=None)

    def _batch(self, found: desktop.Desktop, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        found.connection.begin()
        said = found.restarted()
        todo = list(enumerate(request["actions"]))[request["first"] :]
        if self._user_acted:
            self._user_acted = False
            said.append(USER_ACTED)
            if any(action["type"] not in LOOKING for _, action in todo):
                yield {"step": todo[0][0], "picture": found.shot(half=False).decode()}
                yield {"error": "user", "step": todo[0][0], "said": said}
                return
        for step, action in todo:
            self._news.begins(action)
            risk = self._risk(found, action, request)
            if risk is not None:
                yield {"step": step, "picture": found.shot(half=False).decode()}
                yield {"error": "risk", "step": step, "risk": risk, "said": said}
                return
            try:
                actions.perform(found, action)
            except actions.BadAction as error:
                yield {"step": step, "picture": found.shot(half=False).decode()}
                yield {"error": "action", "step": step, "why": str(error), "said": said}
                return
            finally:
                found.release()
            if action["type"] not in ("wait", "screenshot"):
                found.screen.rest(request["quiet"], request["longest"])
            last = step + 1 == len(request["actions"])
            if found.connection.woken and not (last and found.connection.wished):
                why = "taken" if found.connection.wished else "stopped"
                yield {"error": why, "step": step, "said": said}
                return
            yield {"step": step, "picture": found.shot(half=not last).decode()}
        yield {"done": True, "said": [*said, *found.restarted()]}

    def _user(self, found: desktop.Desktop, events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Do what the user does. `begin` and `end` say that the user has the desktop, and gives it back."""
        for event in events:
            if event["type"] in ("begin", "end"):
                found.release()
                self._news.tell(user=event["type"] == "begin")
            else:
                self._user_acted = True
                hands.act(found, event)
        yield {"done": True, "said": []}

    def _risk(
        self, found: desktop.Desktop, action: dict[str, Any], request: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Return what an action would touch that a person must allow first, and has not."""
        if not request["rules"] or found.programs.pages is None or action["type"] not in ACTING:
            return None
        risk = pages.risk_of(action, found.programs.pages.look())
        if risk is None or risk["kind"] not in request["rules"]:
            return None
        allowed = request["allowed"] or {}
        same = all(risk[name] == allowed.get(name) for name in ("kind", "label", "host"))
        return None if same else risk

    def _started(self, settings: dict[str, Any], *, as_it_is: bool) -> desktop.Desktop | str:
        """Return the desktop, or why it cannot have these settings: a desktop keeps its own."""
        if self._desktop is None:
            self._desktop = desktop.Desktop(settings, self._wake, self._news.wishes.fileno())
            self._news.tell(display=self._desktop.programs.display)
        now = self._desktop.settings
        if not as_it_is and any(
            settings[name] != now[name] for name in ("width", "height", "scale", "locale")
        ):
            return CHANGED % (now["width"], now["height"], now["scale"], now["locale"])
        return self._desktop


def _print(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()
