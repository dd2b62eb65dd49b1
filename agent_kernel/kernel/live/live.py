"""The live view of a running turn: an anywidget that is replaced by static outputs when the turn ends.

Texts are sent as deltas in custom messages, each with its position: the first immediately, those that follow
closely in batches. A second after a change the whole (bounded) state is synchronised too, so that a reloaded
page, a second tab or a disconnected page catches up. User actions arrive as numbered messages; each gets a
reply with the same number.

This module is loaded by the first cell that needs it: the widget libraries cost time and memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from agent_kernel.kernel.asking.record import in_words
from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.kernel.live.built import built
from agent_kernel.kernel.live.decisions import question_json, read_decision
from agent_kernel.kernel.live.desktop import ShownDesktop, Watch, container_of
from agent_kernel.kernel.live.pictures import shown_pictures
from agent_kernel.kernel.live.progress import Delta, Progress
from agent_kernel.kernel.render.bundles import Bundle

if TYPE_CHECKING:
    from agent_kernel.runtime.base import SessionEvent

FLUSH_SECONDS = 0.02
"""Seconds between batches of deltas: at most 50 messages a second, far below Jupyter's limits."""

SYNC_SECONDS = 1.0
"""Seconds between synchronisations of the whole state while it changes."""

WINDOW = 20_000
"""The number of characters the view keeps of one text, from its end."""

STATE_CHARACTERS = 200_000
"""The number of characters of all texts in the state; texts of older items are emptied beyond it."""

MOST_ITEMS = 200
"""The number of items the view keeps; older ones are dropped."""

PLACE = "view"
"""Where the view watches the desktop; one at a time does, see `OpensDesktops`."""

OPENING = "Preparing"
"""The first step of a cell: the runtime may have to be opened."""

GONE = "This question is closed: it was answered in another tab, or the turn has ended."

Stop = Callable[[], None]
Steer = Callable[[str], Awaitable[str | None]]
"""Sends text to the running turn; returns None if accepted, else the reason."""


class LiveTurn(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]  # untyped base
    """The live view of one cell's turns, and the `Asker` of its approvals. Use it from the event loop."""

    _esm: ClassVar[str] = built("live.js")
    _css: ClassVar[str] = built("live.css")

    state = traitlets.Dict().tag(sync=True)
    _opened = False

    def __init__(self, *, stop: Stop, steer: Steer, kept: Callable[[LiveTurn], None], watch: Watch) -> None:
        self._desktop = ShownDesktop(watch, self._send_screen, PLACE)
        self._started = time.monotonic()
        self._progress = Progress(WINDOW)
        self._pending: list[Delta] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sync_timer: asyncio.TimerHandle | None = None
        self._acting: set[asyncio.Task[None]] = set()
        self._tokens = [0, 0]
        self._untold = False
        self._step = OPENING
        self._pictures: tuple[int | None, list[str]] = None, []
        self._closed = False
        self._restored = False
        self._question: tuple[ApprovalRequest, asyncio.Future[Decision]] | None = None
        self._stop = stop
        self._steer = steer
        self._kept = kept
        super().__init__(state=self._state())
        self._opened = True
        self.on_msg(self._received)

    def bundle(self) -> Bundle:
        """Return the bundle that displays this widget, with a text for front ends without widgets."""
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

    # -- to the view --------------------------------------------------------------------------------------

    def show(self, event: SessionEvent) -> None:
        """Update from an event. The page follows immediately, or `FLUSH_SECONDS` after the last batch."""
        if self._step:
            self.begin("")
        deltas = self._progress.take(event)
        usage = getattr(getattr(event, "response", None), "usage", None)
        if usage is not None:
            self._tokens[0] += usage.input_tokens
            self._tokens[1] += usage.output_tokens
            self._untold = True
        if (container := container_of(event)) is not None:
            self._desktop.begin(container)
        if pictures := shown_pictures(event):
            self._pictures = self._progress.number(event), pictures
            self.send({"pictures": list(self._pictures)})
        if deltas or usage is not None or event.type.startswith("response.output_item."):
            self._changed(deltas)

    def begin(self, step: str) -> None:
        """Show what is being done before the model is asked; the turn's first event ends it."""
        self._step = step
        if self._closed:
            return
        self.send({"step": step})
        self._sync_soon()

    def say(self, text: str) -> None:
        """Show a message that the user sent to the running turn; the model reads it in the next response."""
        self._changed(self._progress.add("said", text, done=False))

    def _send_screen(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if not self._closed:
            self.send(message, buffers)
            if "screen" in message:
                self._sync_soon()

    def _changed(self, deltas: list[Delta]) -> None:
        self._pending += deltas
        if self._timer is not None:
            return
        if deltas:
            self._flush()
        else:
            self._gather()

    def _gather(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._gathered)

    def _gathered(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        items = self._progress.items
        changed, self._progress.changed = self._progress.changed, set()
        deltas, self._pending = _joined(self._pending), []
        if self._closed or not (changed or deltas or self._untold):
            return
        self._untold = False
        while len(items) > MOST_ITEMS:
            del items[next(iter(items))]
        self.send(
            {
                "first": next(iter(items), 0),
                "tokens": self._tokens,
                "items": [self._outline(number) for number in sorted(changed & items.keys())],
                "deltas": [[d.index, d.part, d.position + len(d.text), d.text[-WINDOW:]] for d in deltas],
            }
        )
        self._gather()
        self._sync_soon()

    def _sync_soon(self) -> None:
        if self._sync_timer is None:
            self._sync_timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._sync)

    def _sync(self) -> None:
        """Send the whole state. Pending deltas still follow; the page skips what it already has."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        self._sync_timer = None
        self.state = self._state()

    def _state(self) -> dict[str, Any]:
        """Return the whole state of the view: each text as its end and its full length."""
        room = STATE_CHARACTERS
        items = []
        for number in reversed(self._progress.items):
            parts = []
            for name, text in self._progress.items[number].parts.items():
                end = text.end(min(WINDOW, room)) if room else ""
                room -= len(end)
                parts.append([name, text.length, end])
            items.append({**self._outline(number), "parts": parts})
        return {
            "elapsed": round(time.monotonic() - self._started, 1),
            "ended": self._closed,
            "tokens": self._tokens,
            "step": self._step,
            "question": self.question,
            "screen": self._desktop.state,
            "items": items[::-1],
        }

    def _outline(self, number: int) -> dict[str, Any]:
        item = self._progress.items[number]
        at = round(item.touched - self._started, 1)
        return {
            "index": number,
            "kind": item.kind,
            "name": item.name,
            "call": item.call_id,
            "done": item.done,
            "at": at,
        }

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """Return the state as the base does, brought up to date when a new page asks for all of it."""
        found = super().get_state(key, drop_defaults)
        if self._opened and key is None:
            self._restored = True
            found["state"] = self._state()
        return found

    # -- from the view ------------------------------------------------------------------------------------

    def _received(self, _widget: object, content: Any, _buffers: object) -> None:
        if not isinstance(content, dict):
            return
        if content.get("type") == "sync":
            self._sync()
            return
        if self._desktop.hears(content):
            return
        task = asyncio.get_running_loop().create_task(self._answer(content))
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)

    async def _answer(self, content: dict[str, Any]) -> None:
        """Carry out a user action, and reply whether it succeeded."""
        why = "This turn has ended." if self._closed else await self._done(content)
        self.send({"answered": content.get("id"), "why": why})

    async def _done(self, content: dict[str, Any]) -> str | None:
        match content:
            case {"type": "stop"}:
                self._stop()
                return None
            case {"type": "steer", "text": str(text)} if text.strip():
                return await self._steer(text.strip())
            case {"type": "decide", "question": str(question)}:
                return self.decide(question, content)
            case {"type": "take" | "hand_back"}:
                return await self._desktop.do(content)
        return "The kernel does not know this action."

    # -- questions ----------------------------------------------------------------------------------------

    async def ask(self, request: ApprovalRequest) -> Decision:
        """Ask in the view; see `Asker`. The question is part of the state: it survives a reload."""
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._question = (request, answer)
        self._sync()
        if request.picture is not None:  # beside the screenshot that it is about
            self.send({"pictures": [self._pictures[0], [*self._pictures[1], request.picture]]})
        try:
            return await answer
        finally:
            self._question = None
            self._sync()

    @property
    def doing(self) -> str:
        """What is being done before the model is asked; empty after that."""
        return self._step

    @property
    def question(self) -> dict[str, Any] | None:
        """The question that waits for the user, as the page gets it."""
        return question_json(self._question[0]) if self._question else None

    def decide(self, question: str, content: dict[str, Any]) -> str | None:
        """Answer the question with this id. Return None, or why the answer was not taken."""
        if self._question is None or self._question[0].id != question or self._question[1].done():
            return GONE
        request, answer = self._question
        decision = read_decision(request, content)
        if isinstance(decision, str):
            return decision
        answer.set_result(decision)
        self._changed(self._progress.add("decided", in_words(request, decision)))
        return None

    # -- the end ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove the view and its models. Idempotent.

        A page that was reloaded while the turn ran does not receive the final outputs (Jupyter sends them
        to the page that ran the cell). There the view stays, says that the turn has ended, and shows its
        content.
        """
        if self._closed:
            return
        self._closed = True
        self._question = None
        self._desktop.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._restored:
            self._sync()
            self._kept(self)
            return
        self.remove()

    def remove(self) -> None:
        """Remove the view from every page."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        self.layout.close()
        super().close()


def _joined(deltas: list[Delta]) -> list[Delta]:
    """Return the deltas with adjacent ones of the same text merged."""
    joined: list[Delta] = []
    for delta in deltas:
        last = joined[-1] if joined else None
        if last and (last.index, last.part) == (delta.index, delta.part):
            joined[-1] = Delta(last.index, last.part, last.position, last.text + delta.text)
        else:
            joined.append(delta)
    return joined
