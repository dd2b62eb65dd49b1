"""Messages and reasoning in another server's Responses stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from agent_kernel.models.reading.annotations import MOST, annotation_of
from agent_kernel.models.reading.lenient import parts_of, said_in
from agent_kernel.models.reading.log_probabilities import Logprobs, logprobs_of
from agent_kernel.models.reading.response_items import Items, Key
from agent_kernel.models.reading.surrogates import Halves
from agent_kernel.protocol.deltas import (
    AnnotationDelta,
    ItemBreak,
    MessagePhase,
    ModelDelta,
    ReasoningDelta,
    ReasoningOpaque,
    RefusalDelta,
    TextDelta,
)

Deltas = Iterator[ModelDelta]


class Spoken:
    """Reads messages and reasoning, each text once: from deltas, or else from the event that ends it.

    `items` are those of the answer, `halves` joins characters that come in two deltas, and `wrap(id, blob)`
    puts encrypted reasoning into its envelope.
    """

    def __init__(self, items: Items, halves: Halves, wrap: Callable[[str, str], str]) -> None:
        self._items = items
        self._halves = halves
        self._wrap = wrap
        self._written: dict[Key, list[str]] = {}  # the text of messages so far
        self._phases: dict[Key, str | None] = {}  # of messages; None: it was passed on
        self._starts: dict[tuple[Key, int], int] = {}  # where a part begins in the text of its message
        self._cited: dict[tuple[Key, int], int] = {}  # citations of a part so far

    def saw_phase(self, item: Any, key: Key) -> None:
        """Note the phase of a message."""
        if isinstance(phase := getattr(item, "phase", None), str) and phase:
            self._phases.setdefault(key, phase)

    def reasoning(self, event: Any, key: Key) -> Deltas:
        """Yield a piece of reasoning."""
        self._items.saw("reasoning", key)
        self._items.stream(key)
        self._items.add_part(key, event)
        if text := self._halves.joined((key, "reasoning"), event.delta or ""):
            yield ReasoningDelta(text, part=_number(event))

    def thought_done(self, event: Any, key: Key) -> Deltas:
        """Read a part of reasoning from the event that ends it, if it had no deltas."""
        text = getattr(getattr(event, "part", None) or event, "text", None)
        if text and self._items.add_part(key, event):
            self._items.saw("reasoning", key)
            self._items.stream(key)
            yield ReasoningDelta(text, part=_number(event))

    def text(self, event: Any, key: Key) -> Deltas:
        """Yield a piece of a message."""
        self._items.saw("message", key)
        if not event.delta:
            return
        self._items.stream(key)
        self._items.add_part(key, event)
        self._begin(key, event)
        if text := self._halves.joined(key, event.delta):
            yield from self._wrote(text, key, logprobs_of(event.get("logprobs")))

    def refusal(self, event: Any, key: Key) -> Deltas:
        """Yield a piece of a refusal."""
        self._items.saw("message", key)
        self._items.stream(key)
        self._items.add_part(key, event)
        if text := self._halves.joined((key, "refusal"), event.delta or ""):
            yield from self._said(RefusalDelta(text), key)

    def text_done(self, event: Any, key: Key) -> Deltas:
        """Read a part's text from the event that ends it, if it had no deltas."""
        part = getattr(event, "part", None) or event
        text, refusal = getattr(part, "text", None), getattr(part, "refusal", None)
        if (text or refusal) and self._items.add_part(key, event):
            self._items.saw("message", key)
            self._items.stream(key)
            self._begin(key, event)
            tokens = logprobs_of(getattr(part, "logprobs", None))
            yield from (
                self._said(RefusalDelta(refusal), key) if refusal else self._wrote(str(text), key, tokens)
            )

    def annotation(self, event: Any, key: Key) -> Deltas:
        """Yield a citation of a part that is being written."""
        yield from self._cite([event.get("annotation")], key, _part_of(event))

    def part_done(self, event: Any, key: Key) -> Deltas:
        """Read a part from the event that ends it."""
        kind = getattr(event.part, "type", None)
        if kind in ("output_text", "refusal"):
            yield from self.text_done(event, key)
        elif kind == "reasoning_text":
            yield from self.thought_done(event, key)

    def message_done(self, item: Any, key: Key) -> Deltas:
        """Read what a finished message has beyond its deltas."""
        self.saw_phase(item, key)
        if rest := self._halves.rest(key):
            yield from self._wrote(rest, key)
        content = list(parts_of(getattr(item, "content", None)))
        parts = [said_in(each) for each in content]
        if not self._items.has_streamed(key):
            for number, part in enumerate(parts):
                self._starts[key, number] = self._length(key)
                if isinstance(part, TextDelta) and part.text:
                    yield from self._wrote(part.text, key, part.logprobs)
                elif part.text:
                    yield from self._said(part, key)
        else:
            whole = "".join(part.text for part in parts if isinstance(part, TextDelta))
            written = "".join(self._written.get(key, ()))
            if len(whole) > len(written) and whole.startswith(written):  # not all of it had deltas
                yield from self._wrote(whole[len(written) :], key)
            yield from self._phase(key)  # some servers give it at the end only
        for number, part in enumerate(content):
            found = getattr(part, "annotations", None)
            listed = found if isinstance(found, list | tuple) else ()
            yield from self._cite(listed[self._cited.get((key, number), 0) :], key, number)
        yield ItemBreak()

    def reasoning_done(self, item: Any, key: Key) -> Deltas:
        """Read finished reasoning, if it had no deltas, and its encrypted form."""
        if not self._items.has_streamed(key):
            thought = getattr(item, "summary", None) or getattr(item, "content", None)
            for number, part in enumerate(parts_of(thought)):
                yield ReasoningDelta(getattr(part, "text", None) or "", part=number)
        if blob := getattr(item, "encrypted_content", None):
            yield ReasoningOpaque(self._wrap(item.id, blob))
        yield ItemBreak()

    def _begin(self, key: Key, event: Any) -> None:
        """Note where a part begins."""
        if (place := (key, _part_of(event))) not in self._starts:
            self._starts[place] = self._length(key)

    def _length(self, key: Key) -> int:
        return sum(map(len, self._written.get(key, ())))

    def _cite(self, given: Sequence[object], key: Key, number: int) -> Deltas:
        """Yield the citations of a part. Our message has the texts of all its parts in one."""
        before = self._cited.get((key, number), 0)
        self._cited[key, number] = before + len(given)
        for each in given[: max(0, MOST - before)]:
            found = annotation_of(each, self._starts.get((key, number), 0))
            if found is not None and self._written.get(key):
                yield AnnotationDelta(found)

    def _wrote(self, text: str, key: Key, logprobs: Logprobs = ()) -> Deltas:
        self._written.setdefault(key, []).append(text)
        yield from self._said(TextDelta(text, logprobs), key)

    def _said(self, delta: ModelDelta, key: Key) -> Deltas:
        """Yield a piece of a message, and before the first one the message's phase."""
        yield from self._phase(key)
        yield delta

    def _phase(self, key: Key) -> Deltas:
        if (phase := self._phases.get(key)) is not None:
            self._phases[key] = None
            yield MessagePhase(phase)


def _part_of(event: Any) -> int:
    number = event.get("content_index")
    return number if isinstance(number, int) else 0


def _number(event: Any) -> int:
    """Return the number of the part of reasoning that an event is about."""
    part = getattr(event, "summary_index", None)
    return (getattr(event, "content_index", None) if part is None else part) or 0
