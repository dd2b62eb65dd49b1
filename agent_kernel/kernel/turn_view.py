"""The view of one turn: takes its events, emits the final outputs, records how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.live.progress import Progress
from agent_kernel.kernel.provenance.turn import TurnItems
from agent_kernel.kernel.render.approval import one_line
from agent_kernel.kernel.render.bundles import note, notice
from agent_kernel.kernel.render.code.display import pictures_seen
from agent_kernel.kernel.render.endings import STEERED, turn_ending
from agent_kernel.kernel.render.text import code

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.replies import CellRaised
    from agent_kernel.runtime.base import SessionEvent

SCRIPTED_NOTICE = """\
**Demo mode: the answers are pre-written, the commands really run.** The scripted model answers only the \
prompts of its script.

To use a real model, set `AGENT_KERNEL_MODEL` where the runtime starts: to `openai/gpt-5`, with \
`OPENAI_API_KEY`; to `anthropic/NAME`, with `ANTHROPIC_API_KEY`; or to `ollama/NAME` for a model on this \
machine, without a key. `AGENT_KERNEL_UPSTREAM_URL` and `AGENT_KERNEL_UPSTREAM_KEY` name any other endpoint. \
Then restart the runtime."""

MOST_HOSTS = 20
"""Hosts that the line below a turn names."""

Ending = Literal["running", "completed", "incomplete", "failed"]


class TurnFailed(AgentKernelError):
    """The runtime ended the turn with an error, which the notebook shows under the name `ename`."""

    fault = "model"

    def __init__(self, ename: str, message: str) -> None:
        super().__init__(message)
        self.ename = ename


class TurnView:
    """Shows one response, and the responses that continue it after steering.

    `items` renders them. `prewritten` is the prefix of models whose first answer gets the demo-mode notice.
    `response_id` is the last response that began, `continued_from` the last that can be continued.
    """

    def __init__(self, outputs: CellOutputs, items: TurnItems, *, prewritten: str = "") -> None:
        self.response_id: str | None = None
        self.continued_from: str | None = None
        self.ending: Ending = "running"
        self._announced = False
        self.ran_tools = False
        self.raised: CellRaised | None = None
        """The exception that ended code of the user, if one did."""
        self.displayed: set[bytes | str] = set()
        """The pictures that code displayed; see `pictures.Seen`."""
        self._outputs = outputs
        self._items = items
        self._prewritten = prewritten
        self._progress = Progress()
        self._emitted: set[int] = set()
        self._error: tuple[str, str] | None = None

    async def run(self, events: AsyncGenerator[SessionEvent, None]) -> None:
        """Process all events. Raises `TurnFailed`. Cancelling closes the generator before this returns."""
        async with aclosing(events):
            async for event in events:
                self._take(event)
        if self.ending == "failed" or self._error:
            raise TurnFailed(*(self._error or (_ename(None), "The runtime gave no reason.")))
        if self.ending == "running":
            raise TurnFailed(
                "StreamEnded", "The runtime's stream ended in the middle of the answer. Run the cell again."
            )

    def said(self, text: str) -> None:
        """Show a message that the user sent to the running turn."""
        self._items.said(text)
        self._outputs.said(text)

    def _take(self, event: Any) -> None:
        self._progress.take(event)
        self._outputs.event(event)
        if event.type == "response.created":
            self._begin(event.response)
        elif event.type == "response.output_item.done":
            self._item(event.output_index, event.item.to_dict(mode="json", warnings=False))
        elif event.type == "error":
            self._error = _error_of(event)
        elif event.type in ("response.completed", "response.incomplete", "response.failed"):
            self._end(event.type.rpartition(".")[2], event.response)

    def _begin(self, response: Response) -> None:
        """Record the start of the first response, or of the successor to a steered one."""
        self.response_id = response.id
        self.ending = "running"
        self._emitted.clear()
        prefix = self._prewritten
        if prefix and not self._announced and str(response.model).startswith(prefix):
            self._announced = True
            self._outputs.emit(notice(SCRIPTED_NOTICE))

    def _item(self, index: int, item: Mapping[str, Any]) -> None:
        if index in self._emitted:
            return
        self._emitted.add(index)
        seconds = self._progress.seconds(index)
        self._progress.forget(index)
        self.ran_tools |= "_call" in str(item.get("type"))
        self.displayed |= pictures_seen(item)
        for bundle in self._items.render(item, seconds):
            self._outputs.emit(bundle)

    def _end(self, ending: Any, response: Response) -> None:
        self.ending = ending
        for line in notices_of(response):
            self._outputs.emit(note(line))
        if hosts := hosts_of(response):
            self._outputs.emit(note(hosts))
        if ending in ("completed", "incomplete"):
            self.continued_from = response.id
        if ending == "failed" and response.error is not None and self._error is None:
            self._error = (_ename(response.error.code), response.error.message)
        if ending == "incomplete":
            details = response.incomplete_details
            reason = str(details.reason) if details and details.reason else None
            if reason != STEERED:  # the successor continues the answer
                self._outputs.emit(note(turn_ending(reason)))

    def settle(self, response: Response | None) -> None:
        """Show the partial output of an interrupted turn; `response` is the stored one, if any."""
        if response is not None:
            self.ending, self.continued_from = "incomplete", response.id
            for index, item in enumerate(response.output):
                plain = item if isinstance(item, Mapping) else item.to_dict(mode="json", warnings=False)
                self._item(index, plain)
            return
        for growing in self._progress.items.values():
            for bundle in self._items.render(growing.item(), growing.seconds()) if growing.parts else ():
                self._outputs.emit(bundle)


def notices_of(response: Response) -> list[str]:
    """Return the runtime's notices about a response; see docs/extensions.md."""
    ours = (response.model_extra or {}).get("agent_kernel")
    given = ours.get("notices") if isinstance(ours, Mapping) else None
    return [str(line) for line in given] if isinstance(given, list) else []


def hosts_of(response: Response) -> str:
    """Return one line with the hosts that the turn's programs connected to and were refused; "" for none.

    It has no sizes, so that two runs of a notebook are equal.
    """
    ours = (response.model_extra or {}).get("agent_kernel")
    given = ours.get("network") if isinstance(ours, Mapping) else None
    found = [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
    used = _hosts([each for each in found if each.get("connections")])
    refused = _hosts([each for each in found if not each.get("connections")])
    parts = [f"Network: {used}."] if used else []
    if refused:
        parts.append(f"{'Refused' if used else 'Network, refused'}: {refused}.")
    return " ".join(parts)


def _hosts(found: Sequence[Mapping[str, Any]]) -> str:
    names = [code(one_line(f"{each.get('host')}:{each.get('port')}")) for each in found[:MOST_HOSTS]]
    more = len(found) - MOST_HOSTS
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _error_of(event: Any) -> tuple[str, str]:
    """Return the name and message of an `error` event: flat as in the SDK, or nested as servers send it."""
    nested = getattr(event, "error", None)
    fields: Mapping[str, Any] = nested if isinstance(nested, Mapping) else {}
    name = getattr(event, "code", None) or fields.get("code") or fields.get("type")
    message = getattr(event, "message", None) or fields.get("message")
    return _ename(name), str(message or "The runtime gave no reason.")


def _ename(name: object) -> str:
    """Return the error name shown in the notebook; a generic `server_error` is replaced."""
    return str(name) if name and name != "server_error" else "TurnFailed"
