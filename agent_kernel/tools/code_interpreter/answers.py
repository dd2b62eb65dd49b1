"""Reads what a session answers to a question. It is a claim of the sandbox: checked and bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Json = Mapping[str, Any]

MOST_ROWS, MOST_CELLS, LONGEST_CELL = 200, 200, 200
MOST_TABLE_ROWS = 1000
LONGEST_TEXT = 20_000
_LARGEST = 1 << 62


def read_answer(asked: str, answer: object) -> Json:
    """Return the fields of an answer that `runtime.sessions` names; `failed` if it has another form."""
    if not isinstance(answer, Mapping):
        return {"failed": "no answer"}
    try:
        if "failed" in answer:
            return {"failed": _text(answer["failed"])}
        return _READ[asked](answer)
    except (KeyError, TypeError, ValueError):
        return {"failed": "no answer"}


def _completions(answer: Json) -> Json:
    matches = _row(answer["matches"])
    return {"matches": matches, "start": _number(answer["start"]), "end": _number(answer["end"])}


def _help(answer: Json) -> Json:
    return {"text": None if answer["text"] is None else _text(answer["text"], LONGEST_TEXT)}


def _variables(answer: Json) -> Json:
    rows = []
    for name, kind, shape, size, preview in _list(answer["rows"]):
        rows.append([_text(name), _text(kind), _text(shape), _known(size), _text(preview)])
    return {"rows": rows, "count": _number(answer["count"]), "code": _number(answer["code"])}


def _table(answer: Json) -> Json:
    if answer.get("missing") is True:
        return {"missing": True}
    if "columns" not in answer:
        return {"type": _text(answer["type"])}
    columns = [
        [_text(name), _text(kind), _known(lacking)] for name, kind, lacking in _list(answer["columns"])
    ]
    return {
        "type": _text(answer["type"]),
        "columns": columns,
        "rows": [_row(each) for each in _list(answer["rows"], MOST_TABLE_ROWS)],
        "count": _number(answer["count"]),
        "width": _number(answer["width"]),
    }


_READ: Mapping[str, Callable[[Json], Json]] = {
    "complete": _completions,
    "inspect": _help,
    "variables": _variables,
    "table": _table,
}


def _list(value: Any, most: int = MOST_ROWS) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value[:most]


def _row(value: Any) -> list[str]:
    return [_text(each) for each in _list(value)[:MOST_CELLS]]


def _text(value: Any, most: int = LONGEST_CELL) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value[:most].encode("utf-8", "replace").decode()


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(value)
    return value


def _known(value: Any) -> int | None:
    return None if value is None else _number(value)
