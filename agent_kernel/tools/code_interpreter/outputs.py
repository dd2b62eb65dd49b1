"""The outputs of a cell on the host: what a session sends, checked, and what items and models get of it.

An output is JSON in the form of Jupyter's messages (`nbformat`'s outputs): `stream`, `display_data`,
`execute_result`, `update_display_data` or `error`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.wellformed import well_formed
from agent_kernel.tools.code_interpreter.inside.record import CellRecord

Json = Mapping[str, Any]

MOST = 1200
"""Outputs of one cell. A session sends fewer; more are not its own."""

DISPLAYS = ("display_data", "execute_result", "update_display_data")
PICTURES = ("image/png", "image/jpeg")
_MIME = re.compile(r"[a-z]+/[A-Za-z0-9.+-]{1,80}")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NAMELESS = re.compile(r"<IPython\.core\.display\.\w+ object>")
_SOURCES = ("text/markdown", "text/latex")
"""What says more than the name of a class."""

_LONGEST_NAME = 200


def read_outputs(given: object, characters: int) -> tuple[Json, ...]:
    """Return the valid outputs that a session sent; each text has at most `characters`."""
    found = [
        _READERS.get(str(each.get("output_type")), _nothing)(each, characters) for each in _mappings(given)
    ]
    return tuple(each for each in found if each is not None)


def read_live(given: object, characters: int) -> Json | None:
    """Return an output or a `clear_output` that a session sent while its cell runs, else None."""
    if isinstance(given, Mapping) and given.get("output_type") == "clear_output":
        return {"output_type": "clear_output", "wait": given.get("wait") is True}
    return next(iter(read_outputs([given], characters)), None)


def _mappings(given: object) -> list[Mapping[str, Any]]:
    listed = given[:MOST] if isinstance(given, list) else []
    return [each for each in listed if isinstance(each, Mapping)]


def _nothing(output: Json, characters: int) -> Json | None:
    return None


def _stream(output: Json, characters: int) -> Json | None:
    name, text = output.get("name"), output.get("text")
    if name not in ("stdout", "stderr") or not isinstance(text, str) or not text:
        return None
    return {"output_type": "stream", "name": name, "text": well_formed(text[:characters])}


def _error(output: Json, characters: int) -> Json | None:
    lines = output.get("traceback")
    name, value = output.get("ename"), output.get("evalue")
    if not isinstance(lines, list) or not isinstance(name, str) or not isinstance(value, str):
        return None
    text = "\n".join(line for line in lines if isinstance(line, str))[:characters]
    return {
        "output_type": "error",
        "ename": well_formed(name[:_LONGEST_NAME]),
        "evalue": well_formed(value[:characters]),
        "traceback": well_formed(text).split("\n"),
    }


def _display(output: Json, characters: int) -> Json | None:
    given, name = output.get("data"), _display_id(output)
    data = {}
    for kind, value in given.items() if isinstance(given, Mapping) else ():
        if isinstance(kind, str) and _MIME.fullmatch(kind) and (read := _content(kind, value)) is not None:
            data[kind] = read
    if not data:
        return None
    found = {
        "output_type": output["output_type"],
        "data": data,
        "metadata": _metadata(output.get("metadata")),
    }
    return found if name is None else {**found, "transient": {"display_id": name}}


def _content(kind: str, value: object) -> Any:
    """Return the content of a MIME type, None if it is no such content."""
    if not isinstance(value, str):
        return None
    if kind.startswith("image/") and kind != "image/svg+xml":
        return value if _is_base64(value) else None
    if not kind.endswith("json"):
        return well_formed(value)
    return _parsed(value)


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:  # not ASCII either
        return False


def _parsed(text: str) -> Any:
    try:
        return well_formed(json.loads(text))
    except (ValueError, RecursionError, InvalidRequest):  # no JSON, or nested too deeply
        return None


def _metadata(given: object) -> Json:
    """Return the metadata of a display as far as it is small."""
    try:
        return _parsed(text) if len(text := json.dumps(given)) <= 10_000 and isinstance(given, dict) else {}
    except (TypeError, ValueError, RecursionError):
        return {}


def _display_id(output: Json) -> str | None:
    transient = output.get("transient")
    name = transient.get("display_id") if isinstance(transient, Mapping) else None
    return well_formed(name[:_LONGEST_NAME]) if isinstance(name, str) and name else None


_READERS: dict[str, Callable[[Json, int], Json | None]] = {
    "stream": _stream,
    "error": _error,
    **dict.fromkeys(DISPLAYS, _display),
}


# --- what is made of them --------------------------------------------------------------------------------


def keep(record: CellRecord, output: Json) -> None:
    """Add an output that came while its cell ran, as `read_live` returns it, to a record."""
    kind = output["output_type"]
    if kind == "stream":
        record.text(output["name"], output["text"])
    elif kind == "clear_output":
        record.clear(output["wait"])
    elif kind == "error":
        record.error(output["ename"], output["evalue"], list(output["traceback"]))
    else:
        data = {
            name: json.dumps(value) if name.endswith("json") else value
            for name, value in output["data"].items()
        }
        name = _display_id(output)
        if kind == "update_display_data" and name is not None:
            record.update(name, data, dict(output["metadata"]))
        else:
            record.display(kind, data, dict(output["metadata"]), name)


def with_note(outputs: Sequence[Json], text: str) -> tuple[Json, ...]:
    """Return the outputs with a line from the host below them."""
    text = f"{text}\n"
    if outputs and outputs[-1]["output_type"] == "stream" and not outputs[-1]["text"].endswith("\n"):
        text = f"\n{text}"
    return (*outputs, note(text))


def note(text: str) -> Json:
    """Return an output with a text from the host."""
    return {"output_type": "stream", "name": "stderr", "text": text}


def text_of(outputs: Iterable[Json]) -> str:
    """Return everything that was printed, with the text of displays that are not pictures, and tracebacks."""
    return "".join(map(_words, outputs))


def _words(output: Json) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    if output["output_type"] == "error":
        return _COLOURS.sub("", "\n".join(output["traceback"])) + "\n"
    data = output["data"]
    if any(kind in data for kind in PICTURES):
        return ""
    text = data.get("text/plain", "")
    better = next((kind for kind in _SOURCES if kind in data), None) if _NAMELESS.fullmatch(text) else None
    return f"{data[better] if better else text}\n"


def pictures_of(outputs: Sequence[Json]) -> tuple[str, ...]:
    """Return the data URLs of the pictures displayed."""
    shown = [each["data"] for each in outputs if each["output_type"] in DISPLAYS]
    kinds = [(data, next((kind for kind in PICTURES if kind in data), None)) for data in shown]
    return tuple(f"data:{kind};base64,{data[kind]}" for data, kind in kinds if kind is not None)
