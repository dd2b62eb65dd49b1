"""The conversation that a turn continues: the chain's items, and the check that every call has its output."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.deltas import made_upstream
from agent_kernel.runtime.approvals.items import carried_out, is_remote, remote_call, unanswered
from agent_kernel.runtime.turns.context.settled import Settled
from agent_kernel.runtime.turns.input_items import output_of
from agent_kernel.store.records import ResponseRow
from agent_kernel.store.rows import Rows
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.one_item import OneItemTool, one_item_of

Json = Mapping[str, Any]

REMEMBERED = 256
"""Chains whose items are kept in memory, each as far as its latest turn."""


@dataclass(frozen=True)
class History:
    """The earlier items, oldest first, and the last container that the chain used.

    `stopped` are the ids of calls that need no answer from the client, as in turns that did not complete.
    """

    items: Sequence[Json] = ()
    container_id: str | None = None
    stopped: frozenset[str] = frozenset()
    deletions: int = -1
    """The store's count of deletions when this was read; see `Histories`."""
    settled: Settled = field(default_factory=Settled)
    """The items at the beginning that no turn has to look at again."""

    @property
    def recent(self) -> Sequence[Json]:
        """The items that are not settled."""
        return self.items[self.settled.length :]

    def beside(self, new: Sequence[Json]) -> History:
        """Return the history for new items. Nothing is settled if they name a settled call again."""
        return replace(self, settled=Settled()) if self.settled.is_named_in(new) else self

    def after(self, row: ResponseRow) -> History:
        """Return the history of the turn that follows `row`."""
        items = [*self.items, *row.input, *_said(row)]
        return History(
            items=items,
            container_id=row.container_id or self.container_id,
            stopped=self.stopped | _stopped(row),
            deletions=self.deletions,
            settled=self.settled.grown(items),
        )


class Histories:
    """The histories of a store's chains.

    A chain is cached under its latest turn, so the two hundredth turn costs no more than the second. A branch
    from an earlier turn is read from the store. The cache is valid until any process deletes a response.
    """

    def __init__(self, store: Rows) -> None:
        self._store = store
        self._known: OrderedDict[str, History] = OrderedDict()

    async def of(self, previous_id: str | None) -> History:
        """Return the chain that ends in `previous_id`. Raises `InvalidRequest` where it is not whole."""
        deletions = await self._store.deletions()
        if previous_id is None:
            return History(deletions=deletions)
        known = self._known.get(previous_id)
        if known is None or known.deletions != deletions:
            known = await self._read(previous_id, deletions)
        self.remember(previous_id, known)
        return known

    def remember(self, response_id: str, history: History, instead_of: str | None = None) -> None:
        """Remember the history for turns that continue a response, and forget that of `instead_of`."""
        if instead_of is not None:
            self._known.pop(instead_of, None)
        self._known[response_id] = history
        self._known.move_to_end(response_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _read(self, previous_id: str, deletions: int) -> History:
        rows = await self._store.chain(previous_id)
        if not rows:
            raise broken(previous_id)
        if rows[0].previous_id is not None:
            raise broken(
                previous_id,
                f"The chain of '{previous_id}' is not whole: '{rows[0].previous_id}' was deleted.",
            )
        if rows[-1].owner is not None:
            raise InvalidRequest(
                f"The response '{previous_id}' is still {rows[-1].status}.",
                hint="Wait for its end, or cancel it.",
                param="previous_response_id",
            )
        items: list[Json] = []
        settled = Settled()
        for row in rows:
            items += [*row.input, *_said(row)]
            settled = settled.grown(items)
        containers = [row.container_id for row in rows if row.container_id is not None]
        stopped = frozenset[str]().union(*map(_stopped, rows))
        return History(items, containers[-1] if containers else None, stopped, deletions, settled)


def broken(previous_id: str, message: str | None = None) -> InvalidRequest:
    """Make the error for a previous response that cannot be continued."""
    return InvalidRequest(
        message or f"Previous response with id '{previous_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _said(row: ResponseRow) -> list[Json]:
    # A function call that was cut off has incomplete JSON arguments, so it cannot be answered.
    return [
        item
        for item in row.response["output"]
        if item["type"] != "function_call" or item.get("status") != "incomplete"
    ]


def _stopped(row: ResponseRow) -> frozenset[str]:
    """Return the ids of a turn's calls that the client need not answer.

    In a completed turn those are calls to tools that the turn did not offer: earlier versions stored them.
    """
    calls = [item for item in row.response["output"] if item["type"] in output_of()]
    if row.status == "completed":
        calls = [item for item in calls if not _was_offered(item, row.request.get("tools") or ())]
    return frozenset(item["call_id"] for item in calls)


def _was_offered(call: Json, tools: Sequence[Json]) -> bool:
    tool = catalogue().of_call(call["type"])
    if tool is None or call.get("namespace") is not None:
        return True
    specs = [spec for spec in tools if spec.get("type") == tool.type]
    return any(not tool.repeated or spec.get("name") == call.get("name") for spec in specs)


def join(
    history: History,
    new: Sequence[Json],
    to_come: Collection[object] = (),
    elsewhere: Collection[str] = (),
) -> list[Json]:
    """Join history and new input into one conversation in which every call has an output.

    A call of a stopped turn, or one that waited for an approval, gets a note as its output. (`elsewhere` are
    requests that were answered in other branches.) Calls with ids in `to_come` get their outputs in the turn
    itself. A call that waited and holds its output is left out if a later item carries it out. Raises
    `InvalidRequest` naming the call id for any other call without output, and for an output without call.
    """
    history = history.beside(new)
    items, outputs = [*history.recent, *new], output_of()
    outputs_only = frozenset(outputs.values())
    calls = {item.get("call_id") for item in items if item["type"] in outputs}
    answered = {item["call_id"] for item in items if item["type"] in outputs_only}
    for item in new:
        if item["type"] in outputs_only and item["call_id"] not in calls:
            raise InvalidRequest(
                f"No tool call found for {item['type']} with call_id {item['call_id']}.", param="input"
            )
    waited = unanswered(items, elsewhere)
    gone = {*carried_out(items), *to_come}
    joined = list(history.items[: history.settled.length])
    for item in items:
        if is_remote(item):
            joined += () if item["id"] in gone else _remote(item, waited[item["id"]])
            continue
        if (tool := one_item_of(item)) is not None:
            joined += () if item["id"] in gone else _with_output(tool, item, waited.get(item["id"]))
            continue
        joined.append(item)
        if item["type"] not in outputs:
            continue
        call_id = item.get("call_id")
        if call_id in answered or call_id in to_come:
            continue
        if call_id in waited:
            joined.append(_unanswered(item, waited[call_id]))
            continue
        if call_id not in history.stopped:
            raise InvalidRequest(
                f"No tool output found for {item['type']} {item.get('call_id')}.", param="input"
            )
        joined.append(_unanswered(item, "Not carried out: the turn was stopped."))
    return joined


def _remote(request: Json, note: str) -> Sequence[Json]:
    """Return the call that a request holds, and the note that takes its output's place."""
    tool, call = remote_call(request)
    return [tool.split(call)[0], tool.pair_output(call, note)]


def _with_output(tool: OneItemTool, item: Json, note: str | None) -> Sequence[Json]:
    """Return an item that holds its output, or its call and the note that takes the output's place."""
    return [item] if note is None else [tool.split(item)[0], tool.pair_output(item, note)]


def _unanswered(call: Json, note: str) -> Json:
    tool = catalogue().of_call(call["type"])
    output = note if tool is None else tool.unanswered(call, note)
    return {"type": output_of()[call["type"]], "call_id": call["call_id"], "output": output}


def container_in(items: Sequence[Json]) -> str | None:
    """Return the container of the last call in the input that was made for one.

    Clients that send the conversation again, whole or by reference, instead of naming the previous response
    go on in it too.
    """
    for item in reversed(items):
        if made_upstream(item) is not None:  # its container is the upstream's
            continue
        tool = catalogue().of_call(item["type"])
        if tool is not None and (container_id := tool.container_of(item)) is not None:
            return container_id
    return None
