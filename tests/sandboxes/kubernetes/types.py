"""Checks an object against the official client's types, which are made from the API's own description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubernetes import client

_PART = re.compile(r"(?:list\[|List\[)(.+)\]|(?:dict\(str, |Dict\[str, )(.+)[\])]")


def unknown_fields(value: Any, kind: str, where: str = "") -> list[str]:
    """Return the paths of fields that the API does not have."""
    if part := _PART.fullmatch(kind):
        inner = part[1] or part[2]
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [each for key, item in items for each in unknown_fields(item, inner, f"{where}[{key}]")]
    model = getattr(client, kind, None)
    if model is None or not isinstance(value, Mapping):
        return []
    names = {api: own for own, api in model.attribute_map.items()}
    found = [f"{where}.{name}" for name in value if name not in names]
    for name, item in value.items():
        if name in names:
            found += unknown_fields(item, model.openapi_types[names[name]], f"{where}.{name}")
    return found
