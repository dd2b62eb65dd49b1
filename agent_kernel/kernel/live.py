"""The live view of a running turn: an anywidget that is replaced by static outputs when the turn ends.

Texts travel as deltas in custom messages, gathered over a few hundredths of a second, each with its
position; a second after a change the whole (bounded) state is synchronised as well, so that a reloaded page
or a second view catches up.

Loaded at the first cell that needs it: the widget libraries cost time and memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import traitlets

from agent_kernel.kernel.progress import Delta, Progress
from agent_kernel.kernel.render import Bundle

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent

FLUSH_SECONDS = 0.04
"""How long deltas are gathered: 25 messages a second are smooth and far from the server's limit."""

SYNC_SECONDS = 1.0
"""How often the whole state is synchronised while something changes."""

WINDOW = 20_000
"""Characters of one text that the view keeps: its end."""

_STATIC = files("agent_kernel.kernel") / "static"


def open_view(stop: Callable[[], None]) -> LiveTurn:
    """A new view, not yet displayed. Call it from the event loop, with the cell as parent."""
    ipywidgets.register_comm_target()  # ipywidgets does so by itself only where there is an IPython shell
    return LiveTurn(stop=stop)


class LiveTurn(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]  # untyped base
    """Shows one turn. Use it from the event loop; `stop` is called when the person presses Stop."""

    _esm: ClassVar[str] = (_STATIC / "live.js").read_text("utf-8")
    _css: ClassVar[str] = (_STATIC / "live.css").read_text("utf-8")

    state = traitlets.Dict().tag(sync=True)
    _opened = False

    def __init__(self, *, stop: Callable[[], None]) -> None:
        self._started = time.time()
        self._progress = Progress()
        self._pending: list[Delta] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sync_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._restored = False
        self._stop = stop
        super().__init__(state=self._state())
        self._opened = True
        self.on_msg(self._received)

    def bundle(self) -> Bundle:
        """What displays this widget, with words for whoever cannot show it."""
        waiting = "The turn is running; its outputs appear here when it ends."
        data = {
            "text/plain": waiting,
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }
        return Bundle(data)

    def show(self, event: ResponseStreamEvent) -> None:
        """Take in one event; the view follows within `FLUSH_SECONDS`."""
        if event.type == "response.created":  # a cell may have several turns: `!` lines, then a prompt
            self._progress = Progress()
            self._pending.clear()
            self._cancel_timers()
            self._sync()
            return
        deltas = self._progress.take(event)
        self._pending += deltas
        if (deltas or event.type.startswith("response.output_item.")) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._closed:
            return
        deltas, self._pending = _joined(self._pending), []
        items = [[index, item.kind, item.done] for index, item in self._progress.items.items()]
        self.send(
            {
                "items": items,
                "deltas": [[d.index, d.part, d.position, len(d.text), d.text[-WINDOW:]] for d in deltas],
            }
        )
        if self._sync_timer is None:
            self._sync_timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._sync)

    def _sync(self) -> None:
        """Send the whole state. What is pending follows as deltas; the view passes over what it knows."""
        self._sync_timer = None
        self.state = self._state()

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._sync_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._sync_timer = None

    def _state(self) -> dict[str, Any]:
        """Everything the view shows, each text as its end and how many characters that is the end of."""
        items = [
            {
                "index": index,
                "kind": item.kind,
                "done": item.done,
                "parts": [[name, len(text), text[-WINDOW:]] for name, text in item.parts.items()],
            }
            for index, item in self._progress.items.items()
        ]
        elapsed = round(time.time() - self._started, 1)
        return {"elapsed": elapsed, "ended": self._closed, "items": items}

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """As the base does. A page that has come anew asks for all of it, and gets it as it is now."""
        found = super().get_state(key, drop_defaults)
        if self._opened and key is None:
            self._restored = True
            found["state"] = self._state()
        return found

    def _received(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, dict) and content.get("type") == "stop":
            self._stop()

    def close(self) -> None:
        """Take the view and its models away. Idempotent.

        A page that was reloaded while the turn ran does not get the final outputs (Jupyter sends them to the
        page that asked): there the view stays, says that it has ended, and shows what it has.
        """
        if self._closed:
            return
        self._closed = True
        self._cancel_timers()
        if self._restored:
            self._sync()
            return
        self.layout.close()
        super().close()


def _joined(deltas: list[Delta]) -> list[Delta]:
    """Neighbours that continue each other as one."""
    joined: list[Delta] = []
    for delta in deltas:
        last = joined[-1] if joined else None
        if last and (last.index, last.part) == (delta.index, delta.part):
            joined[-1] = Delta(last.index, last.part, last.position, last.text + delta.text)
        else:
            joined.append(delta)
    return joined
