"""The context windows of models: their sizes, and how estimated tokens relate to real ones."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from agent_kernel.errors import ContextLengthExceeded

REMEMBERED = 256
"""Models of which a process remembers the window."""
LEARNED_FOR = 600.0
"""Seconds. Then a learned size is forgotten: the model's server may have been restarted with another."""
ANSWER = 4096
"""Tokens kept free for the answer, if the request sets no limit. At most a quarter of the window."""
LEAST_ANSWER = 16
"""Tokens. With fewer left the model is not called: OpenAI's API takes no smaller `max_output_tokens`."""

_LEAST_RATIO, _MOST_RATIO = 0.8, 16.0


class Gauge:
    """The context window of one model.

    Tokens are estimated from characters. `ratio` is the number of real tokens in an estimated one: it follows
    what the upstream reports.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.configured: int | None = None
        """The size in tokens according to settings or the catalogue."""
        self.ratio = 1.0
        self._learned: int | None = None
        self._proven: int | None = None
        self._until = 0.0
        self._now = now

    @property
    def window(self) -> int | None:
        """The size in tokens, None if it is not known."""
        return (self._learned if self._is_fresh() else None) or self.configured

    def room(self, answer: int | None) -> int | None:
        """Return how many estimated tokens a request may have, None if that is not known.

        `answer` is the longest answer that the request asks for, in tokens.
        """
        proven = self._proven if self._is_fresh() else None
        window = self.window
        if window is None:
            return proven
        free = min(ANSWER, window // 4) if answer is None else min(answer, window // 2)
        room = int((window - free) / self.ratio)
        return room if proven is None else min(room, proven)

    def answer(self, answer: int | None, size: int) -> int | None:
        """Return the limit of an answer, lowered to what a request of `size` estimated tokens leaves."""
        if answer is None or self.window is None:
            return answer
        left = int(self.window - size * self.ratio)
        return max(LEAST_ANSWER, min(answer, left)) if left < answer else answer

    def overflowed(self, error: ContextLengthExceeded, size: int, answer: int | None) -> None:
        """Learn from a request of `size` estimated tokens that did not fit: the room becomes smaller."""
        if not self._is_fresh():
            self._learned = self._proven = None
        self._until = self._now() + LEARNED_FOR
        self._learned = error.window or self._learned
        window = self.window
        if error.tokens is not None and size:
            self._set_ratio(error.tokens / size)
            if window and answer and error.tokens + LEAST_ANSWER <= window < error.tokens + answer:
                return  # the input fits: the answer was to be too long
        room = self.room(answer)
        if window is None or room is None or room >= size:
            self._proven = size // 2 if self._proven is None else min(size, self._proven) // 4

    def measured(self, size: int, tokens: int) -> None:
        """Learn from a request of `size` estimated tokens that had `tokens` according to the upstream."""
        window = self.window
        if window is not None and size and 0 < tokens < window * 0.95:  # some cut the input silently
            self._set_ratio(tokens / size)
            self._proven = None

    def _set_ratio(self, ratio: float) -> None:
        self.ratio = min(_MOST_RATIO, max(_LEAST_RATIO, ratio))

    def _is_fresh(self) -> bool:
        return self._now() < self._until


class Gauges:
    """The gauges of the models that this process has asked."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Gauge] = OrderedDict()

    def of(self, model: str) -> Gauge:
        """Return the gauge of the model with this name."""
        gauge = self._known.setdefault(model, Gauge())
        self._known.move_to_end(model)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return gauge
