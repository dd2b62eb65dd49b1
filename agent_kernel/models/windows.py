"""The context windows of OpenAI's models, in tokens."""

from __future__ import annotations

import re

_SIZES = {
    "gpt-3.5-turbo": 16_385,
    "gpt-4": 8_192,
    "gpt-4-turbo": 128_000,
    "gpt-4o": 128_000,
    "gpt-4o-mini": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-4.1-mini": 1_047_576,
    "gpt-4.1-nano": 1_047_576,
    "gpt-5": 400_000,
    "gpt-5-mini": 400_000,
    "gpt-5-nano": 400_000,
    "gpt-5-codex": 400_000,
    "gpt-5.1": 400_000,
    "o1": 200_000,
    "o3": 200_000,
    "o3-mini": 200_000,
    "o4-mini": 200_000,
}
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def known_window(model: str) -> int | None:
    """Return the size of the model's window, None for a model that is not listed.

    A date after the name is ignored. A later model of a family may have another size, so it is not guessed.
    """
    return _SIZES.get(_DATE.sub("", model))
