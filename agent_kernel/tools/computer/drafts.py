"""The items of a call and its output. The API has no events of their own for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.desktop.items import CALL, OUTPUT
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of, to_json

CHECKS = "pending_safety_checks"
ONE = "action"
"""The label of a call in the older form, which has one action."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """The end of a call: whether all was done, a picture as a data URL, and sentences for the model."""

    done: bool
    url: str | None
    said: tuple[str, ...] = ()
    acknowledged: bool = False
    """Whether the call's safety checks were acknowledged, because it ran."""
    risk: Json | None = None
    """The place that it stopped at; see `rules`."""


def screenshot(url: str | None, said: Sequence[str], risk: Json | None = None) -> dict[str, Any]:
    """Return the `output` of an output item."""
    picture = {"image_url": url} if url is not None else {}
    ours = {**({"said": list(said)} if said else {}), **({"risk": risk} if risk else {})}
    return {"type": "computer_screenshot", **picture, **({"agent_kernel": ours} if ours else {})}


class ComputerCallDraft(CallDraft):
    """The item of a call. Its only part is the JSON of the actions; the labels have the rest."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(CALL)

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        labels = self.start.labels
        actions = read_part("".join(self.texts()))
        container = self.start.container_id
        done: dict[str, Any] = (
            {"action": actions[0]} if labels.get(ONE) and len(actions) == 1 else {"actions": actions}
        )
        return item_of(
            {
                "id": self.id,
                "type": CALL,
                "call_id": self.call_id,
                "status": status,
                CHECKS: list(labels.get(CHECKS) or ()),
                **done,
                **({"agent_kernel": {"container_id": container}} if container else {}),
            }
        )

    def part_delta(self, part: int, text: str) -> Events:
        return []

    def part_done(self, part: int, text: str) -> Events:
        return []


def read_part(text: str) -> list[Any]:
    """Return the actions of a call's part, none while it is not whole."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    return found if isinstance(found, list) else []


class ComputerOutputDraft(OutputDraft):
    """The output of a call. It accepts one `Seen`."""

    def __init__(self, index: int, numbers: Iterator[int], call: CallItem) -> None:
        super().__init__(index, numbers)
        self.id = ids.item_id(OUTPUT)
        self._call_id = call.call_id
        self._checks = to_json(call).get(CHECKS) or []
        self._seen: Seen | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        seen = self._seen
        if seen is not None and not seen.done:
            status = "incomplete"
        return item_of(
            {
                "id": self.id,
                "type": OUTPUT,
                "call_id": self._call_id,
                "status": status,
                "output": screenshot(seen.url, seen.said, seen.risk)
                if seen is not None
                else screenshot(None, ()),
                "acknowledged_safety_checks": self._checks if seen is not None and seen.acknowledged else [],
            }
        )

    def write(self, piece: Seen) -> Events:
        self._seen = piece
        return []

    def close_unfinished(self, why: str) -> Events:
        if self._seen is None:
            self._seen = Seen(False, None, (why,))
        return []
