"""Reads the JSON arguments that models write, also where they are not quite JSON.

Arguments are repaired only where a single meaning is possible. In any doubt the call does not run: the model
reads what is wrong and tries again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

_SAID = 300
"""Characters of the validator's message that the model reads."""

_FENCE = "```"
_HIDDEN = "\ufeff\u200b"
_TAGS = ("</tool_call>", "<|im_end|>", "<|eom_id|>", "<|eot_id|>", "</function>", "</s>", "[/TOOL_CALLS]")
"""Marks at the end of a call that parsers of model servers leave behind."""


class UnreadableArguments(ValueError):
    """The arguments have no single meaning. The message completes the sentence "Not run: ..."."""


def as_text(arguments: object) -> str:
    """Return arguments as JSON text: some servers send them as an object, and some send null."""
    if arguments is None:
        return ""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)


def read_objects(arguments: str) -> list[Object]:
    """Return the objects in the arguments of a call; there are several if calls ran together.

    Accepts control characters in strings, an object quoted as a string, a fence around the object, and text
    after it. Empty arguments mean an empty object. Raises `UnreadableArguments`.
    """
    text = _unwrapped(arguments)
    if not text:
        return [{}]
    found: list[Object] = []
    while text:
        value, end = _first(text)
        objects = _as_objects(value)
        found += [each for each in objects if not found or each != found[-1]]  # repeated: run it once
        text = _rest(text[end:])
    return found


def read_object(arguments: str) -> Object:
    """Return the only object in the arguments of a call. Raises `UnreadableArguments`."""
    objects = read_objects(arguments)
    if len(objects) > 1:
        raise UnreadableArguments("its arguments are several JSON objects; make one call for each")
    return objects[0]


def misfit(value: Object, schema: Mapping[str, Any]) -> str | None:
    """Return where `value` does not fit a JSON schema, as half a sentence; None if it fits.

    A schema that is itself invalid fits everything: it is the tool's mistake, which no model can correct.
    """
    from jsonschema import validators  # only where a tool is called
    from jsonschema.exceptions import SchemaError, UnknownType, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        kind = validators.validator_for(schema)
        # An empty registry: nothing is fetched for a `$ref` to another address.
        problems = kind(schema, registry=Registry()).iter_errors(value)
        error: Any = best_match(problems)  # type: ignore[no-untyped-call]
    except (SchemaError, UnknownType, Unresolvable, RecursionError):
        return None
    if error is None:
        return None
    where = ".".join(str(each) for each in error.absolute_path)
    said = error.message if len(error.message) <= _SAID else error.message[:_SAID] + "…"
    return f"its argument {where} does not fit: {said}" if where else f"its arguments do not fit: {said}"


def is_whole(arguments: str) -> bool:
    """Return whether the arguments can be read."""
    try:
        return bool(arguments.strip()) and bool(read_objects(arguments))
    except UnreadableArguments:
        return False


def leading_objects(arguments: str) -> str:
    """Return all complete JSON objects but the last thing in the arguments, whether that is complete or not.

    The result is empty if there is nothing before it.
    """
    before = end = 0
    while (start := _after_blanks(arguments, end)) < len(arguments):
        try:
            found, after = _DECODER.raw_decode(arguments, start)
        except (ValueError, RecursionError, _RepeatedKey):
            return arguments[:end]
        if not isinstance(found, dict):
            return arguments[:end]
        before, end = end, after
    return arguments[:before]


def _after_blanks(text: str, start: int) -> int:
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start


def is_object(arguments: str) -> bool:
    """Return whether the arguments are a JSON object without any repair."""
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def valid_json(arguments: str) -> str:
    """Return the arguments as they are if they are a JSON object, otherwise an object that quotes them.

    Some servers refuse a whole conversation for one call with arguments that are not JSON.
    """
    if is_object(arguments):
        return arguments
    try:
        return json.dumps(read_object(arguments), ensure_ascii=False)
    except UnreadableArguments:
        return json.dumps({"unreadable": arguments}, ensure_ascii=False)


def _unwrapped(text: str) -> str:
    text = text.strip().strip(_HIDDEN).strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE) and len(text) > 2 * len(_FENCE):
        inner = text[len(_FENCE) : -len(_FENCE)]
        word, newline, rest = inner.partition("\n")
        text = (rest if newline and word.strip().isalpha() else inner).strip()
    return text


def _first(text: str) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text)
    except _RepeatedKey as error:
        raise UnreadableArguments(f"its arguments have {str(error)!r} twice") from None
    except (ValueError, RecursionError):
        raise UnreadableArguments("its arguments are not JSON") from None


def _as_objects(value: Any) -> list[Object]:
    if isinstance(value, str) and value.strip().startswith(("{", '"')):  # JSON, quoted as a JSON string
        return read_objects(value)
    if not isinstance(value, dict):
        raise UnreadableArguments("its arguments are not an object")
    return [value]


def _rest(text: str) -> str:
    """Return what follows an object if that is another one, without marks and prose.

    Raises `UnreadableArguments` for what may be a part of an object.
    """
    text = text.strip().strip(_HIDDEN).lstrip(",;").strip()
    while (tag := next((tag for tag in _TAGS if text.startswith(tag)), None)) is not None:
        text = text.removeprefix(tag).strip()
    if text.startswith("{"):
        return text
    if any(mark in text for mark in '{["}]'):
        raise UnreadableArguments("something follows the JSON object of its arguments")
    return ""


class _RepeatedKey(Exception):
    """A key that is twice in one object."""


def _object(pairs: list[tuple[str, Any]]) -> Object:
    made: Object = {}
    for key, value in pairs:
        if key in made and made[key] != value:
            raise _RepeatedKey(key)
        made[key] = value
    return made


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_object)
