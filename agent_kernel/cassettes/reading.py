"""Read a cassette. Its author is not trusted: size, depth and every type are checked.

A cassette holds only texts, lists and mappings. Anchors, aliases and tags are refused, so that a small file
cannot become a large value or another kind of object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agent_kernel.cassettes.cassette import (
    ENDINGS,
    VERSION,
    Cassette,
    PrintedOutput,
    RecordedCell,
    Said,
    SaidCall,
    SaidRejected,
    SaidText,
    Surroundings,
)
from agent_kernel.errors import ConfigurationError

MAX_BYTES = 8 << 20
MAX_DEPTH = 12
MAX_VALUES = 100_000

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # makes texts of all scalars
_KINDS = ("reasoning", "message", "refusal", "shell", "python", "tool", "rejected")


class CassetteInvalid(ConfigurationError):
    """A cassette that cannot be used. The message names the file and the place, but quotes no content."""


class _Wrong(Exception):
    """Something in the file is wrong; the text says what and where."""


def read(path: Path) -> Cassette:
    """Return the cassette in a file.

    Raises `CassetteInvalid` for a file that is missing, unreadable, too large, or no cassette. Blocks for at
    most a few seconds, for a file of the largest size.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "To make it: agent-kernel record NOTEBOOK"
        raise CassetteInvalid(f"There is no cassette {path}.", hint=hint) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name cannot be used"
        raise CassetteInvalid(f"The cassette {path} cannot be read: {reason}.") from None
    try:
        return parse(data)
    except _Wrong as wrong:
        hint = "Correct the file, or record it again: agent-kernel record --update NOTEBOOK"
        raise CassetteInvalid(f"The cassette {path} cannot be used: {wrong}.", hint=hint) from None


def parse(data: bytes) -> Cassette:
    """Return the cassette in the bytes of a file. `read` turns what this raises into an error for people."""
    if len(data) > MAX_BYTES:
        raise _Wrong(f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8")
        _check(text)
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 (a base loader makes texts only)
    except UnicodeDecodeError:
        raise _Wrong("it is not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise _Wrong(f"it is not valid YAML{where}") from None
    return _cassette(document)


def _check(text: str) -> None:
    """Check the structure before any value is made."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader), 1):
        where = f"line {event.start_mark.line + 1 if event.start_mark else 0}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Wrong(f"{where} has an anchor or an alias, which cassettes do not use")
        if getattr(event, "tag", None):
            raise _Wrong(f"{where} has a tag, which cassettes do not use")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _Wrong(f"{where} is nested more than {MAX_DEPTH} levels deep")
        if count > MAX_VALUES:
            raise _Wrong(f"it has more than {MAX_VALUES:,} values")


def _cassette(document: Any) -> Cassette:
    top = _mapping(document, "the file")
    version = _text(top, "agent_kernel_cassette", "the file", required=True)
    if version != str(VERSION):
        newer = version.isdecimal() and version.isascii() and int(version[:9]) > VERSION
        other = "it was written by a newer version of agent-kernel" if newer else "its version is unknown"
        raise _Wrong(other)
    known = {"agent_kernel_cassette", "notebook", "model", "recorded_in", "cells"}
    _only(top, known, "the file")
    made = _mapping(top.get("recorded_in") or {}, "recorded_in")
    _only(made, {"sandbox", "image", "packages"}, "recorded_in")
    packages = _mapping(made.get("packages") or {}, "packages")
    cells = _list(top.get("cells") or [], "cells")
    return Cassette(
        _text(top, "notebook", "the file"),
        _text(top, "model", "the file"),
        Surroundings(
            _text(made, "sandbox", "recorded_in"),
            _text(made, "image", "recorded_in"),
            {str(name): _text(packages, name, "packages") for name in packages},
        ),
        tuple(_cell(each, f"cell {number}") for number, each in enumerate(cells, 1)),
    )


def _cell(value: Any, where: str) -> RecordedCell:
    cell = _mapping(value, where)
    _only(cell, {"cell", "asks", "prompt", "request", "steps", "ended"}, where)
    ended = _text(cell, "ended", where)
    if ended and ended not in ENDINGS:
        raise _Wrong(f"{where}: ended must be one of {', '.join(ENDINGS)}")
    steps = []
    for number, step in enumerate(_list(cell.get("steps") or [], f"steps of {where}"), 1):
        there = f"{where}, step {number}"
        steps.append(tuple(_said(each, there) for each in _list(step, there)))
    return RecordedCell(
        _text(cell, "cell", where),
        _text(cell, "asks", where),
        _text(cell, "prompt", where, required=True),
        _text(cell, "request", where),
        tuple(steps),
        ended,
    )


def _said(value: Any, where: str) -> Said:
    said = _mapping(value, where)
    match [name for name in _KINDS if name in said]:
        case [("reasoning" | "message" | "refusal") as kind]:
            _only(said, {kind, "phase"}, where)
            return SaidText(kind, _text(said, kind, where), _text(said, "phase", where))
        case ["shell"]:
            return _shell(said, where)
        case ["python"]:
            _only(said, {"python", "printed"}, where)
            code = {"code": _text(said, "python", where)}
            return SaidCall("code_interpreter", code, _printed(said, where, 1))
        case ["tool"]:
            _only(said, {"tool", "fields"}, where)
            return SaidCall(_text(said, "tool", where), _json(said, "fields", where))
        case ["rejected"]:
            _only(said, {"rejected", "arguments", "why"}, where)
            texts = [_text(said, name, where) for name in ("rejected", "arguments", "why")]
            return SaidRejected(*texts)
    raise _Wrong(f"{where}: an entry must have exactly one of {', '.join(_KINDS)}")


def _shell(said: Mapping[str, Any], where: str) -> SaidCall:
    _only(said, {"shell", "timeout_ms", "max_output_length", "printed"}, where)
    given = said["shell"]
    commands = [given] if isinstance(given, str) else _list(given, f"{where}, shell")
    if not commands or not all(isinstance(each, str) for each in commands):
        raise _Wrong(f"{where}: shell must be a command or a list of commands")
    action: dict[str, Any] = {"commands": commands}
    for name in ("timeout_ms", "max_output_length"):
        if name in said:
            action[name] = _number(said, name, where)
    return SaidCall("shell", {"action": action}, _printed(said, where, len(commands)))


def _printed(said: Mapping[str, Any], where: str, count: int) -> tuple[PrintedOutput, ...] | None:
    if "printed" not in said:
        return None
    given = said["printed"]
    found = given if isinstance(given, list) else [given]
    if len(found) != count:
        raise _Wrong(f"{where}: printed must have one entry for each command")
    return tuple(_output(each, f"{where}, printed") for each in found)


def _output(value: Any, where: str) -> PrintedOutput:
    if isinstance(value, str):
        return PrintedOutput(value)
    output = _mapping(value, where)
    _only(output, {"stdout", "stderr", "ended"}, where)
    return PrintedOutput(*(_text(output, name, where) for name in ("stdout", "stderr", "ended")))


# -- checked values -------------------------------------------------------------------------------------


def _only(found: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(found) - known):
        raise _Wrong(f"{where}: {_short(unknown[0])} is unknown; known are {', '.join(sorted(known))}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise _Wrong(f"{where} must be a mapping")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"{where} must be a list")
    return value


def _text(found: Mapping[str, Any], name: str, where: str, *, required: bool = False) -> str:
    value = found.get(name, None if required else "")
    if not isinstance(value, str):
        raise _Wrong(f"{where}: {_short(name)} must be a string")
    return value


def _number(found: Mapping[str, Any], name: str, where: str) -> int:
    value = _text(found, name, where)
    if not (value.isascii() and value.isdecimal() and int(value[:12]) > 0 and len(value) <= 12):
        raise _Wrong(f"{where}: {name} must be a whole number above 0")
    return int(value)


def _json(found: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(_text(found, name, where) or "{}")
    except (ValueError, RecursionError):
        raise _Wrong(f"{where}: {name} must be JSON") from None
    return _mapping(value, f"{where}: {name}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
