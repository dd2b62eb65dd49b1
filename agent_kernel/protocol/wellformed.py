"""Text that can be written down.

JSON may carry one half of a surrogate pair, which is no character: UTF-8 has no bytes for it, and a stream, a
store or a notebook that met one would break. So each is replaced by U+FFFD where text comes in.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.deltas import ModelDelta

_HALF = re.compile("[\ud800-\udfff]")


DEEPEST = 100
"""Levels of objects and lists in a request; what is deeper is nobody's data, and breaks serializers."""


def well_formed(value: Any, depth: int = 0) -> Any:
    """Return the same JSON value (or tuple) without halves of characters, in keys too.

    Raises `InvalidRequest` for what is nested too deep.
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
    """Return the same delta; piece by piece, so that pieces and whole still agree."""
    return replace(delta, **{field.name: well_formed(getattr(delta, field.name)) for field in fields(delta)})
