"""Validation of values that clients send, with one-line error messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest

_SHOWN = 40
"""Characters of an invalid value that an error message repeats."""


def shortened(value: object) -> str:
    """Describe an invalid value for an error message, in about 50 characters. Takes constant time."""
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


_WORDS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "finite_number": "a finite number",
}
"""The expected value, by pydantic's type of error."""

_BOUNDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
    "string_too_long": "a string of at most {max_length} characters",
    "string_pattern_mismatch": "a name of letters, digits, - and _",
    "literal_error": "one of {expected}",
}


def check(name: str, value: Mapping[str, Any], where: str = "") -> None:
    """Check a request, or an input item of type `name`, against its type in `params`.

    `where` goes before the parameter's name in errors, as in `input[0]`. The value is not changed. Its depth
    must be limited already (`well_formed`). Raises `InvalidRequest` with one line about the first error.
    """
    from pydantic_core import ValidationError

    from agent_kernel.protocol.params import validator

    try:
        validator(name).validate_python(value, strict=True)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False), where) from None


def _refusal(errors: Sequence[Any], where: str) -> InvalidRequest:
    """Return an error about the deepest problem; in a union that is the branch that fits best."""
    paths = [_path(where, each["loc"]) for each in errors]
    deepest = max(range(len(errors)), key=lambda index: len(errors[index]["loc"]))
    path = paths[deepest]
    same = [each for each, its in zip(errors, paths, strict=True) if its == path]
    first = errors[deepest]
    if first["type"] == "missing":
        return InvalidRequest(f"{path} is missing.", param=path)
    if first["type"] == "extra_forbidden":
        return InvalidRequest(f"No such field: {path}.", param=path, code="unknown_parameter")
    if first["type"] == "too_long":
        most = first["ctx"]["max_length"]
        return InvalidRequest(f"{path} may have at most {most} entries.", param=path)
    words = " or ".join(dict.fromkeys(map(_expected, same)))
    return InvalidRequest(f"{path} must be {words}, not {shortened(first['input'])}.", param=path)


def _expected(error: Any) -> str:
    kind = error["type"]
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**error["ctx"])
    return _WORDS.get(kind, "valid")


def _path(where: str, location: Sequence[int | str]) -> str:
    """Write a location as `input[0].content`. Union branches, which begin with `|`, are left out."""
    path = where
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part == "[key]":
            continue
        elif not part.startswith("|"):
            path += ("." if path else "") + part[:64]
    return path
