"""Checks that a model calls only what its turn offers.

A model may call a tool by a name that it made up, without any tool offered, or against `tool_choice`. The
call is rejected: the model reads which tools there are. So no response holds a call that has no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent_kernel.models.offered import Offered
from agent_kernel.protocol.calls import UNKNOWN, CallDelta, CallDone, CallKind, RejectedCall
from agent_kernel.protocol.deltas import ModelDelta, Notice, TextDelta, Truncated, Usage
from agent_kernel.tools.base import ToolEntry

Json = Mapping[str, Any]

_PARAMETERS = 12
"""Parameters of a tool that a rejection lists."""


class OfferedCalls:
    """The check of one step's deltas. `tools` are the turn's, `choice` is its `tool_choice`."""

    def __init__(self, tools: Sequence[ToolEntry], choice: Any) -> None:
        self._offered = Offered(tools, native=False, choice=choice)
        self._refused = self._offered.calls_none
        self._held: list[CallDelta] = []  # a call that is not offered, while the model writes it
        self._rejected: set[str] = set()  # ids of calls
        self._labels: dict[CallKind, Mapping[str, Any]] = {
            entry.tool: labels for entry in tools if (labels := entry.tool.call_labels(entry))
        }
        self._groups = {entry.spec["name"]: entry.namespace for entry in tools if entry.namespace is not None}

    def read(self, delta: ModelDelta) -> Iterator[ModelDelta]:
        """Yield the delta, or what takes its place. The rest of a rejected call is dropped."""
        if isinstance(delta, TextDelta) and not self._held:  # by far the most
            yield delta
            return
        if isinstance(delta, CallDelta | CallDone | RejectedCall) and delta.call_id in self._rejected:
            return
        if isinstance(delta, CallDelta) and not self._is_offered(delta.tool, delta.name):
            if self._held and self._held[-1].call_id != delta.call_id:
                yield from self.end()
            self._held.append(delta)
            return
        if isinstance(delta, CallDone) and not self._is_offered(delta.tool, delta.name):
            self._drop(delta.call_id)
            yield from self.end()
            yield self._explained(_rejected(delta.call_id, delta.tool, delta.name, delta.parts))
            return
        if isinstance(delta, RejectedCall):
            self._drop(delta.call_id)
        if not isinstance(delta, Usage | Truncated | Notice):
            yield from self.end()
        yield from [self._explained(delta)] if isinstance(delta, RejectedCall) else self._named(delta)

    def _named(self, delta: ModelDelta) -> Iterator[ModelDelta]:
        """Yield the delta of a call to a function of a namespace under the function's own name.

        A call that `waits_unshown` comes whole: before its end, nobody knows whether it is shown.
        """
        if not isinstance(delta, CallDelta | CallDone):
            yield delta
            return
        if (labels := self._labels.get(delta.tool)) is not None:
            delta = replace(delta, labels={**delta.labels, **labels})
        group = self._groups.get(delta.name) if delta.name else None
        if group is None:
            yield delta
        elif isinstance(delta, CallDone):
            yield replace(delta, name=group.function, labels={"namespace": group.name})
        elif not delta.tool.waits_unshown:
            yield replace(delta, name=group.function, labels={**delta.labels, "namespace": group.name})

    def end(self) -> Iterator[ModelDelta]:
        """Yield what was held back: a call that is not offered has ended."""
        held, self._held = self._held, []
        if held:
            text = "".join(each.text for each in held)
            yield self._explained(_rejected(held[0].call_id, held[0].tool, held[0].name, (text,)))

    def _drop(self, call_id: str) -> None:
        self._held = [each for each in self._held if each.call_id != call_id]

    def rejection(self, call_id: str, kind: CallKind, why: str) -> RejectedCall:
        """Return the rejection of a call to an offered tool that cannot be assembled."""
        return self._explained(RejectedCall(call_id, kind.type, "", why))

    def _is_offered(self, kind: CallKind, name: str | None) -> bool:
        return any(
            entry.tool is kind and (not entry.tool.repeated or entry.spec.get("name") == name)
            for entry in self._offered.allowed
        )

    def _explained(self, call: RejectedCall) -> RejectedCall:
        self._rejected.add(call.call_id)
        known = {self._offered.name_of(each): each for each in self._offered.allowed}
        entry = known.get(call.name)
        if entry is not None and call.why != UNKNOWN:
            return replace(call, why=f"Not run: {call.why}. {_usage(call.name, self._offered.schema(entry))}")
        if self._refused:
            return replace(call, why="Not run: no tool may be called in this turn. Answer without tools.")
        if not known:
            return replace(call, why="Not run: there are no tools in this turn. Answer without tools.")
        why = UNKNOWN if entry is None and call.name else call.why
        return replace(call, why=f"Not run: {why}. The tools are: {', '.join(known)}.")


def _rejected(call_id: str, kind: CallKind, name: str | None, parts: Sequence[str]) -> RejectedCall:
    return RejectedCall(call_id, name or kind.type, "\n".join(parts), UNKNOWN)


def _usage(name: str, schema: Any) -> str:
    """Return which arguments a tool takes."""
    known = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(known, Mapping) or not known:
        return f"Send the arguments of {name} as one JSON object."
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    listed = [_parameter(each, known[each], each in needed) for each in list(known)[:_PARAMETERS]]
    return f"{name} takes one JSON object with {', '.join(listed)}."


def _parameter(name: str, schema: Any, needed: bool) -> str:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    words = [str(kind)] if isinstance(kind, str) else []
    return f"{name} ({', '.join([*words, 'required' if needed else 'optional'])})"
