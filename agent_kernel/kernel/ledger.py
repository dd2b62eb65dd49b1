"""The record of each cell's turns: response ids, token use, files written. Bounded.

Outputs are not kept: `%replay` reads them from the runtime's store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.costs.compute import TurnCompute
    from agent_kernel.runtime.base import SessionEvent

MOST_TURNS = 2000
"""The number of turns remembered; older ones are dropped."""

MOST_ASKED = 8000
"""Characters of a prompt that are remembered."""

_ENDINGS = ("response.completed", "response.incomplete", "response.failed")


@dataclass
class TurnRecord:
    """One turn of a cell. Token counts are 0 if the model reports none.

    `asked` is the beginning of the prompt, `again` how many turns before had the same. `context` has the
    tokens of the last model call and the size of the model's window, None if it is unknown.
    `compute` is what it used of the container, None if no call ran.
    """

    cell: int
    asked: str = ""
    again: int = 0
    model: str = ""
    response_ids: list[str] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    context: tuple[int, int] | None = None
    container_id: str | None = None
    paths: Sequence[str] = ()
    error: str | None = None
    compute: TurnCompute | None = None

    def take(self, event: Any) -> None:
        """Update the record from an event of the turn."""
        if event.type == "response.created":
            self.response_ids.append(event.response.id)
            self.model = str(event.response.model or self.model)
        elif event.type in _ENDINGS:
            from agent_kernel.kernel.costs.compute import compute_of, sum_of

            usage = event.response.usage
            if usage is not None:
                self.input_tokens += usage.input_tokens
                self.output_tokens += usage.output_tokens
            self.context = context_of(event.response) or self.context
            self.compute = sum_of((self.compute, compute_of(event.response)))
            if event.response.error is not None:
                self.error = event.response.error.message


def context_of(response: Any) -> tuple[int, int] | None:
    """Return the tokens in the model's context window and its size, None if the response has none.

    A server may send anything there; see docs/extensions.md.
    """
    ours = (response.model_extra or {}).get("agent_kernel")
    found = ours.get("context") if isinstance(ours, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    tokens, window = found.get("tokens"), found.get("window")
    if not isinstance(tokens, int) or not isinstance(window, int) or window <= 0:
        return None
    return max(0, tokens), window


class Ledger:
    """The turns of a notebook, newest last. `cell` is the number of the running cell."""

    def __init__(self) -> None:
        self.cell = 0
        self.records: deque[TurnRecord] = deque(maxlen=MOST_TURNS)

    def begin(self, asked: str, container_id: str) -> TurnRecord:
        """Begin the record of a turn."""
        asked = asked[:MOST_ASKED]
        again = sum(record.asked == asked for record in self.records)
        record = TurnRecord(self.cell, asked, again, container_id=container_id)
        self.records.append(record)
        return record

    async def watch(
        self, events: AsyncGenerator[SessionEvent, None], record: TurnRecord
    ) -> AsyncGenerator[SessionEvent, None]:
        """Yield the events unchanged, recording the turn. Closing this closes `events`."""
        async with aclosing(events):
            async for event in events:
                record.take(event)
                yield event

    def wrote(self, paths: Iterable[str]) -> None:
        """Record the files that the newest turn wrote."""
        if self.records:
            self.records[-1].paths = tuple(paths)

    def of_cell(self, wanted: str) -> list[TurnRecord]:
        """Return the turns of cell `In [wanted]`, or of the last cell with turns. Raises `InvalidRequest`."""
        cells = sorted({record.cell for record in self.records if record.response_ids})
        if not cells:
            raise InvalidRequest("No cell has asked or run anything yet, so there is nothing to replay.")
        number = cells[-1] if wanted in ("", "last") else int(wanted) if wanted.isdecimal() else None
        if number not in cells:
            known = ", ".join(map(str, cells[-10:]))
            raise InvalidRequest(
                f"Cell [{wanted}] has no turn to replay.",
                hint=f"%replay takes `last` or a cell's number. Available: {known}.",
            )
        return [record for record in self.records if record.cell == number and record.response_ids]
