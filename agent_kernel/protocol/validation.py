"""Check values that clients send, and say what is wrong with them in one line."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 40
"""Characters of a wrong value that an error message repeats."""


def shortened(value: object) -> str:
    """Describe a wrong value for an error message, in at most about 50 characters. Takes constant time."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() < 128 else "a very large number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else "a value of another type"
