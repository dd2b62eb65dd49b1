"""Makes the request of one step fit the model's context window."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from agent_kernel.errors import ContextLengthExceeded
from agent_kernel.models.base import ModelRequest
from agent_kernel.models.earlier import later_of
from agent_kernel.runtime.turns.context.compaction import COMPACTION, is_summary
from agent_kernel.runtime.turns.context.estimate import ItemSizes, Json, estimate, type_of
from agent_kernel.runtime.turns.context.gauge import Gauge
from agent_kernel.runtime.turns.context.shortening import shorten
from agent_kernel.tools.base import ToolEntry

MOST_REPEATS = 3
"""Requests of one step after the first, each smaller than the one before, which did not fit."""
_WORTH_IT = 4
"""A compaction must be able to remove at least this fraction of the conversation."""

SHORTENED = "long tool output was shortened"
COMPACTED = "a summary replaced earlier items"
MESSAGES = "the oldest messages were shortened or left out"

TOO_LARGE = "The request has about {:,} tokens, but the model's context window has {:,}."
SEND_LESS = 'Send less, or allow shortening with `truncation: "auto"`.'


class FitNotice:
    """The line for the user about what was done in a turn to make its requests fit.

    `show` shows a line, instead of the one given second.
    """

    def __init__(self, show: Callable[[str, str | None], None]) -> None:
        self._show = show
        self._done: list[str] = []
        self._shown: str | None = None

    def add(self, done: str, window: int | None) -> None:
        """Add what was done, one of the constants above. `window` is the size in tokens, if it is known."""
        if done in self._done:
            return
        self._done.append(done)
        size = f" of {window:,} tokens" if window else ""
        line = f"The conversation did not fit the model's context window{size}. For the model, "
        line += f"{' and '.join(self._done)}."
        self._show(line, self._shown)
        self._shown = line


Build = Callable[[Sequence[Json]], ModelRequest]
"""Makes the step's request with these items as its input."""


class Fitting:
    """Fits one step's request into the context window that `gauge` measures.

    `items` returns the conversation as the model would receive it, `build` makes the request, `compact` adds
    a compaction made by a request with at most that many estimated tokens. `sizes` remembers those of the
    turn's items. With `truncates` False the conversation is sent as it is.
    """

    def __init__(
        self,
        gauge: Gauge,
        items: Callable[[], Sequence[Json]],
        build: Build,
        compact: Callable[[int], Awaitable[None]],
        notice: FitNotice,
        sizes: ItemSizes,
        *,
        truncates: bool = True,
    ) -> None:
        self._truncates = truncates
        self._gauge = gauge
        self._items = items
        self._build = build
        self._compact = compact
        self._notice = notice
        self._sizes = sizes
        self._failed: tuple[int, int | None] | None = None
        self._failures = 0
        self._compacted = False

    async def request(self) -> ModelRequest:
        """Return the next request to send.

        Raises what `compact` raises, and `ContextLengthExceeded` for a conversation that must not be
        shortened and is larger than the configured window: some servers would cut it without an error.
        """
        items = self._items()
        request = self._build(items)
        answer = request.settings.get("max_output_tokens")
        if not self._truncates:
            self._check(request)
            return self._with_answer(request, answer)
        whole = self._gauge.room(answer)
        if whole is None:
            return request
        room = whole - self._size(request) + self._weight(items)  # without instructions and tools
        found = self._shortened(items, room)
        if (found is None or self._failures > 1) and self._may_compact(items):
            self._compacted = True
            await self._compact(whole)
            self._say(COMPACTED)
            items = self._items()
            found = self._shortened(items, room)
        if found is None:
            found = _shorten(items, room, messages=True)
            self._say(MESSAGES)
        return self._with_answer(self._build(found), answer)

    def _with_answer(self, request: ModelRequest, answer: int | None) -> ModelRequest:
        """Return the request with the limit of its answer lowered to what its input leaves."""
        limit = self._gauge.answer(answer, self._size(request))
        if limit == answer:
            return request
        return replace(request, settings={**request.settings, "max_output_tokens": limit})

    def _check(self, request: ModelRequest) -> None:
        window, tokens = self._gauge.configured, int(self._size(request) * self._gauge.ratio)
        if window is not None and tokens > window:
            raise ContextLengthExceeded(TOO_LARGE.format(tokens, window), hint=SEND_LESS, window=window)

    def answered(self, request: ModelRequest, tokens: int) -> int:
        """Learn from an answer: the request had `tokens` tokens, 0 if the upstream does not say.

        Returns the tokens of the request, estimated if the upstream does not say.
        """
        size = self._size(request)
        self._gauge.measured(size, tokens)
        return tokens or int(size * self._gauge.ratio)

    def overflowed(self, request: ModelRequest, error: ContextLengthExceeded) -> None:
        """Learn from a request that did not fit."""
        self._failures += 1
        self._failed = self._measure(request)
        size, answer = self._failed
        self._gauge.overflowed(error, size, answer)

    def may_send(self, request: ModelRequest) -> bool:
        """Return whether a request may be sent: it is smaller than the one that did not fit."""
        if self._failed is None:
            return True
        size, answer = self._measure(request)
        less = size < self._failed[0] or (answer or 0) < (self._failed[1] or 0)
        return less and self._failures <= MOST_REPEATS

    def _shortened(self, items: Sequence[Json], room: int) -> Sequence[Json] | None:
        """Return the items with tool output shortened as much as needed, None if that is not enough."""
        if self._weight(items) <= room:
            return items
        found = _shorten(items, room, messages=False)
        if self._weight(found) > room:
            return None
        self._say(SHORTENED)
        return found

    def _may_compact(self, items: Sequence[Json]) -> bool:
        """Return whether a compaction would help: it keeps the messages of the user."""
        kept = [each for each in items if each.get("type") == "message" and each.get("role") != "assistant"]
        whole = self._weight(items)
        return not self._compacted and estimate(kept) < whole - whole // _WORTH_IT

    def _weight(self, items: Sequence[Json]) -> int:
        place = _sent_from(items)
        return self._sizes.estimate(items[place:] if place else items)

    def _size(self, request: ModelRequest) -> int:
        """Estimate the tokens of a whole request: its input, its instructions and its tools."""
        offered = self._sizes.offered(request.instructions, request.tools, _spec_of)
        return self._weight(request.input) + offered

    def _measure(self, request: ModelRequest) -> tuple[int, int | None]:
        return self._size(request), request.settings.get("max_output_tokens")

    def _say(self, done: str) -> None:
        self._notice.add(done, self._gauge.window)


def _spec_of(entry: ToolEntry) -> Json:
    return entry.tool.function_spec(entry)


def _sent_from(items: Sequence[Json]) -> int:
    """Return the place of the upstream's own last compaction: it receives no earlier items."""
    if COMPACTION not in map(type_of, later_of(items)):
        return 0
    for place in range(len(items) - 1, 0, -1):
        if items[place].get("type") == COMPACTION and not is_summary(items[place]):
            return place
    return 0


def _shorten(items: Sequence[Json], room: int, *, messages: bool) -> Sequence[Json]:
    place = _sent_from(items)
    return [*items[:place], *shorten(items[place:], room, messages=messages)]
