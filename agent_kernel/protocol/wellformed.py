"""The repair of text that UTF-8 cannot encode.

JSON can contain half of a surrogate pair, which is not a character. UTF-8 cannot encode it, so it would break
a stream, a store or a notebook. Each is therefore replaced by U+FFFD where text comes in.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.deltas import ModelDelta, ReasoningDelta, RefusalDelta, TextDelta

_HALF = re.compile("[\ud800-\udfff]")


DEEPEST = 100
"""Maximum nesting of objects and lists in a request; deeper values break serializers."""


def well_formed(value: Any, depth: int = 0) -> Any:
    """Return the JSON value (or tuple) with lone surrogates replaced, in keys too.

    Raises `InvalidRequest` for a value that is nested too deeply.
    """
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if depth > DEEPEST:
        raise InvalidRequest(f"The request is nested deeper than {DEEPEST} levels.")
    if isinstance(value, list | tuple):
        return type(value)(well_formed(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return {well_formed(key): well_formed(each, depth + 1) for key, each in value.items()}
    return value


def well_formed_delta(delta: ModelDelta) -> ModelDelta:
    """Return the delta with lone surrogates replaced. Pieces and whole still agree afterwards."""
    if isinstance(delta, TextDelta | ReasoningDelta | RefusalDelta) and _HALF.search(delta.text) is None:
        return delta  # nearly every delta of an answer
    return replace(delta, **{field.name: well_formed(getattr(delta, field.name)) for field in fields(delta)})
