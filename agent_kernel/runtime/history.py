"""The conversation that a turn continues: the chain's items, and the check that every call has its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.store import ResponseRow, Store
from agent_kernel.runtime.turn import OUTPUT_OF

Json = Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """What came before: items, oldest first, and the last container that the chain used.

    `stopped` are the ids of calls in turns that did not complete: those need no answer from the client.
    """

    items: Sequence[Json] = ()
    container_id: str | None = None
    stopped: frozenset[str] = frozenset()


async def read_history(store: Store, previous_id: str | None) -> History:
    """The chain that ends in `previous_id`. Raises `InvalidRequest` where it is not whole."""
    if previous_id is None:
        return History()
    rows = await store.chain(previous_id)
    if not rows:
        raise _broken(f"Previous response with id '{previous_id}' not found.")
    if rows[0].previous_id is not None:
        raise _broken(f"The chain of '{previous_id}' is not whole: '{rows[0].previous_id}' was deleted.")
    containers = [row.container_id for row in rows if row.container_id is not None]
    return History(
        items=[item for row in rows for item in _items(row)],
        container_id=containers[-1] if containers else None,
        stopped=frozenset(
            item["call_id"]
            for row in rows
            if row.status != "completed"
            for item in row.response["output"]
            if item["type"] in OUTPUT_OF
        ),
    )


def _broken(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="previous_response_id", code="previous_response_not_found")


def _items(row: ResponseRow) -> list[Json]:
    # A function call that broke off has half a JSON object for its arguments: nobody can answer that.
    said = [
        item
        for item in row.response["output"]
        if item["type"] != "function_call" or item.get("status") != "incomplete"
    ]
    return [*row.input, *said]


def join(history: History, new: Sequence[Json]) -> list[Json]:
    """History and new input as one conversation, every call answered.

    A call of a turn that was stopped need not be answered: it is, in its client's place, by a note. Raises
    `InvalidRequest` naming the call id for any other call without output, and for an output without call.
    """
    items = [*history.items, *new]
    calls = {item.get("call_id") for item in items if item["type"] in OUTPUT_OF}
    answered = {item["call_id"] for item in items if item["type"] in OUTPUT_OF.values()}
    for item in new:
        if item["type"] in OUTPUT_OF.values() and item["call_id"] not in calls:
            raise InvalidRequest(
                f"No tool call found for {item['type']} with call_id {item['call_id']}.", param="input"
            )
    joined: list[Json] = []
    for item in items:
        joined.append(item)
        if item["type"] not in OUTPUT_OF or item.get("call_id") in answered:
            continue
        if item.get("call_id") not in history.stopped:
            raise InvalidRequest(
                f"No tool output found for {item['type']} {item.get('call_id')}.", param="input"
            )
        joined.append(_unanswered(item))
    return joined


def _unanswered(call: Json) -> Json:
    note = "Not carried out: the turn was stopped."
    output: Any = note
    if call["type"] == "shell_call":
        output = [{"stdout": "", "stderr": note, "outcome": {"type": "exit", "exit_code": 130}}]
    return {"type": OUTPUT_OF[call["type"]], "call_id": call["call_id"], "output": output}
