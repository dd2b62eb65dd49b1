"""A running turn: its request, its progress, and the order in which both are stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from openai.types.responses import ResponseOutputItemDoneEvent, ResponseStreamEvent

from agent_kernel.errors import ConfigurationError
from agent_kernel.models.base import Model
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.broken import BrokenCall
from agent_kernel.protocol.deltas import made_upstream
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.approvals.approvals import Approvals
from agent_kernel.runtime.approvals.questions import TurnQuestions
from agent_kernel.runtime.late_ends import LateEnds
from agent_kernel.runtime.observe.tracing import UNWATCHED, Trace
from agent_kernel.runtime.turns.budgets import Meter
from agent_kernel.runtime.turns.context.estimate import ItemSizes
from agent_kernel.runtime.turns.context.fitting import FitNotice
from agent_kernel.runtime.turns.history import Histories, History, Json
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.request import TurnRequest
from agent_kernel.store.records import Finish, JournalEntry, ResponseRow
from agent_kernel.store.rows import Rows
from agent_kernel.tools.mcp.servers import TurnServers
from agent_kernel.tools.one_item import one_item_of

Emit = Callable[[Sequence[ResponseStreamEvent]], Awaitable[None]]
"""Stores and sends events, in order. It waits while the reader does not read."""


async def not_running(events: Sequence[ResponseStreamEvent]) -> None:
    """Raise an error: the turn does not run, so its events have no reader."""
    raise RuntimeError("The turn is not running, so its events have no reader.")


INTERRUPTED = "agent_kernel.interrupted"
"""`incomplete_details.reason` of a turn whose process died."""


@dataclass
class Turn:
    """A turn that passed all checks. `conversation` grows by each finished item."""

    turn: TurnRequest
    model: Model
    upstream_name: str
    history: History
    conversation: list[Json]
    container_id: str | None
    assembler: Assembler
    record: Record
    approvals: Approvals
    interrupt: Interrupt = field(default_factory=Interrupt)
    emit: Emit = not_running
    """Takes the turn's events, see `Emitter`; set while the turn runs."""
    hold: Callable[[Sequence[ResponseStreamEvent]], None] | None = None
    """Takes events that may wait for the turn's end, see `Emitter.hold`; None if none may."""
    meter: Meter = field(default_factory=Meter)
    questions: TurnQuestions | None = None
    """Asks about destinations on the network while the turn runs; None if the client does not answer."""
    servers: TurnServers | None = None
    """The connections to MCP servers while the turn runs; None if it has none."""
    trace: Trace = UNWATCHED
    calls_made: int = 0
    rejected_steps: int = 0
    """Model calls in a row that made only calls that were rejected."""
    asked_again: bool = False
    """Whether the model was asked again after an answer that was reasoning alone."""
    handed_over: bool = False
    """Whether a call was left to the client to run."""
    resumed: int = 0
    """The number of times that a new process has resumed the turn."""
    rejoins: Sequence[BrokenCall] = ()
    """Calls that were running when another process died with this turn; they are finished first."""
    produced: dict[int, Json] = field(default_factory=dict)
    told: dict[str, dict[int, str]] = field(default_factory=dict)
    """Lines that only the model reads: by the call's id, then by the part of its output."""
    summary_tokens: int = 0
    """Tokens that the turn's summaries have; they do not count towards `max_output_tokens`."""
    sizes: ItemSizes = field(default_factory=ItemSizes)
    fit_notice: FitNotice = field(init=False)
    """Tells the user what was done to make the requests fit the context window."""
    begun_at: float = field(default_factory=time.monotonic)
    created_at: float = field(default_factory=time.time)
    """Seconds since 1970; the response says it in whole ones."""

    def __post_init__(self) -> None:
        self.fit_notice = FitNotice(self.assembler.notice)
        self.approvals.conversation = self.conversation

    @property
    def id(self) -> str:
        """The id of the turn's response."""
        return self.assembler.response.id

    @property
    def output_left(self) -> int | None:
        """The tokens that `max_output_tokens` leaves for answers, 0 or more; None without that limit."""
        limit = self.turn.max_output_tokens
        if limit is None:
            return None
        return max(0, limit - self.assembler.usage().output_tokens + self.summary_tokens)

    def about(self) -> dict[str, str | None]:
        """Return the turn's fields for log entries."""
        return {"response_id": self.id, "container_id": self.container_id}

    def note(self, event: ResponseStreamEvent) -> Json | None:
        """Add a finished item to the conversation and return it as JSON. Ignore any other event."""
        if not isinstance(event, ResponseOutputItemDoneEvent):
            return None
        item = to_json(event.item)
        self.conversation.insert(self._place(event.output_index, item), item)
        self.produced[event.output_index] = item
        return item

    def _place(self, index: int, item: Json) -> int:
        """Return where an item belongs in the conversation.

        A call that holds its output ends late: items that the model wrote after it may be there already.
        """
        later = {id(each) for number, each in self.produced.items() if number > index}
        if not later or (one_item_of(item) is None and made_upstream(item) is None):
            return len(self.conversation)
        places = (place for place, each in enumerate(self.conversation) if id(each) in later)
        return next(places, len(self.conversation))

    def row(self, owner: str | None = None) -> ResponseRow:
        """Return the turn's row in its present state; `owner` is set only while it runs."""
        response = self.assembler.response
        skeleton = to_json(response.model_copy(update={"output": []}))
        output = [self.produced[index] for index in sorted(self.produced)]
        return ResponseRow(
            id=response.id,
            created_at=self.created_at,
            status=response.status or "completed",
            model=response.model,
            previous_id=self.turn.previous_id,
            container_id=self.container_id,
            request={name: value for name, value in self.turn.request.items() if name != "input"},
            input=self.turn.input,
            response={**skeleton, "output": output},
            owner=owner,
            conversation_id=self.turn.conversation_id,
            resumed=self.resumed,
        )


class EventJournal(Protocol):
    """Keeps all events of a background turn, for its followers and for a restart."""

    def take(self, event: ResponseStreamEvent) -> bool:
        """Take an event. Return whether the caller must `flush` before the event goes out."""
        ...

    async def flush(self) -> None:
        """Write the waiting events."""
        ...

    async def close(self) -> None:
        """Write the rest."""
        ...

    def entries(self, events: Sequence[ResponseStreamEvent]) -> list[JournalEntry]:
        """Return events as the store keeps them."""
        ...


class Record:
    """The stored part of one turn.

    The row is written before the first event goes out, with this process as its owner; the model may have
    been asked by then. Each finished item is in the journal before its event goes out, and each call
    before it runs. The end is in the row before the last event goes out. So a killed process loses
    nothing that a client has seen, and a client that has seen the end can continue. With `store: false`
    only what belongs to a conversation is written.
    """

    def __init__(self, store: Rows, histories: Histories, owner: str, late: LateEnds) -> None:
        self._store = store
        self._late = late
        self._histories = histories
        self._owner = owner
        self._items: list[JournalEntry] = []
        self.after: History | None = None
        """The history for the next turn, once this one has ended."""
        self.ended = False
        self.journal: EventJournal | None = None
        """The journal of a background turn: all events, not only finished items."""
        self._begun: asyncio.Future[None] | None = None

    async def begin(self, run: Turn) -> None:
        """Write the turn's row."""
        if run.turn.store:
            await self._store.put_response(run.row(self._owner))

    def start(self, run: Turn) -> asyncio.Future[None] | None:
        """Begin to write the turn's row, if it is stored. `begun` waits for that."""
        if run.turn.store:
            self._begun = asyncio.ensure_future(self._store.put_response(run.row(self._owner)))
        return self._begun

    async def begun(self) -> None:
        """Wait until the row is written. Raises what the store has raised. A cancellation undoes nothing."""
        if self._begun is not None:
            await asyncio.shield(self._begun)

    def take(self, run: Turn, event: ResponseStreamEvent) -> bool:
        """Take an event in. Return whether `flush` must be called before the event goes out."""
        if not isinstance(event, ResponseOutputItemDoneEvent):
            return self.journal is not None and self.journal.take(event)
        item = run.note(event)
        if self.journal is not None:
            return self.journal.take(event)
        if not run.turn.store:
            return False
        entry = {
            "type": event.type,
            "output_index": event.output_index,
            "sequence_number": event.sequence_number,
            "item": item,
        }
        self._items.append((event.sequence_number, json.dumps(entry)))
        return True

    async def hold(self, run: Turn, added: Json) -> None:
        """Write down a call that is about to run and has no finished item; see `HeldCall.added`.

        The journal of a background turn has the call's events already.
        """
        if self.journal is not None or not run.turn.store:
            return
        self._items.append((added["sequence_number"], json.dumps(added)))
        await self.flush(run)

    async def flush(self, run: Turn) -> None:
        """Write the taken events. A cancellation does not undo it."""
        if self.journal is not None:
            await self.journal.flush()
        elif self._items:
            await self.begun()
            items, self._items = self._items, []
            await asyncio.shield(self._store.append_events(run.id, items))

    async def end(self, run: Turn, final: Sequence[ResponseStreamEvent]) -> None:
        """Write the end, once. `final` are the last events; a background turn's journal gets them too.

        Raises what the store raises; if that is a `ConfigurationError`, the end is written when it can be.
        """
        if self.ended:
            return
        self.ended = True
        if self._begun is not None:
            await asyncio.wait({self._begun})
        for event in final:
            run.note(event)
        row = run.row()
        self.after = run.history.after(row)
        if not run.turn.store and run.turn.conversation_id is None:
            return
        events = self.journal.entries(final) if self.journal is not None else ()
        said = (*row.input, *row.response["output"]) if run.turn.conversation_id else ()
        finish = Finish(row, events, self.journal is not None, run.turn.store, said)
        try:
            await asyncio.shield(self._write(finish))
        except ConfigurationError:
            self._late.add(run.id, partial(self._write, finish))
            raise
        if run.turn.store:
            self._histories.remember(run.id, self.after, instead_of=run.turn.previous_id)

    async def _write(self, finish: Finish) -> None:
        if self.journal is not None:
            await self.journal.close()
        await self._store.finish_response(finish)
