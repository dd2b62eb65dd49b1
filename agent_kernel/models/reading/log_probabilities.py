"""Log probabilities of an answer's tokens, as both dialects have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agent_kernel.protocol.wellformed import well_formed

Logprobs = tuple[Mapping[str, Any], ...]

MOST = 10_000
"""Tokens of one event; later ones are dropped."""

MOST_LIKELY = 20
"""Alternatives to a token that the API can return."""


def logprobs_of(given: object) -> Logprobs:
    """Return the entries for tokens that a server sent. What is not one is left out."""
    entries = given if isinstance(given, list | tuple) else ()
    found = (_entry(each, alternatives=True) for each in entries[:MOST])
    return tuple(each for each in found if each is not None)


def _entry(given: object, *, alternatives: bool = False) -> dict[str, Any] | None:
    if not isinstance(given, Mapping):
        return None
    token, number = given.get("token"), given.get("logprob")
    if not isinstance(token, str) or isinstance(number, bool) or not isinstance(number, int | float):
        return None
    if not math.isfinite(number):  # JSON has no such number; some servers send it for impossible tokens
        return None
    encoded = given.get("bytes")
    is_bytes = isinstance(encoded, list) and all(isinstance(each, int) for each in encoded)
    token = well_formed(token)
    entry = {"token": token, "bytes": encoded if is_bytes else list(token.encode()), "logprob": float(number)}
    if alternatives:
        likely = given.get("top_logprobs")
        listed = [_entry(each) for each in likely[:MOST_LIKELY]] if isinstance(likely, list) else []
        entry["top_logprobs"] = [each for each in listed if each is not None]
    return entry
