"""Completion and help from live objects, where there is no IPython to give them. Nothing is called."""

from __future__ import annotations

import builtins
import inspect
import keyword
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY = re.compile(r"""((?:[^\W\d]\w*\.)*[^\W\d]\w*)\[(["'])([^"'\n]*)$""")
_NAME = re.compile(r"((?:[^\W\d]\w*\.)*)([^\W\d]\w*|)$")
_CHAIN = re.compile(r"(?:[^\W\d]\w*\.)*[^\W\d]\w*$")
_MISSING = object()


def completions(names: dict[str, Any], code: str, cursor: int) -> tuple[int, list[str]]:
    """Return where the completed text begins, and what can stand there: names, attributes, or keys."""
    before = code[:cursor]
    if key := _KEY.search(before):
        return key.start(3), [each for each in _keys(find(names, key[1])) if each.startswith(key[3])]
    name = _NAME.search(before)
    owner, start = (name[1].rstrip("."), name[2]) if name else ("", "")
    if not owner and name is not None and before[: name.start()].endswith("."):
        return cursor, []  # an attribute of something that would have to be computed
    if owner:
        value = find(names, owner)
        found = set() if value is _MISSING else set(dir(value))
    else:
        found = {*names, *dir(builtins), *keyword.kwlist}
    hidden = not start.startswith("_")
    matches = [each for each in found if each.startswith(start) and not (hidden and each.startswith("_"))]
    return cursor - len(start), sorted(matches)


def find(names: dict[str, Any], chain: str) -> Any:
    """Return the object that a dotted name stands for, `_MISSING` if there is none."""
    first, *rest = chain.split(".")
    value = names.get(first, getattr(builtins, first, _MISSING))
    for each in rest:
        value = getattr(value, each, _MISSING)
    return value


def _keys(value: Any) -> list[str]:
    columns = getattr(value, "columns", None)
    keys = list(value) if isinstance(value, dict) else list(columns) if columns is not None else []
    return [each for each in keys if isinstance(each, str)]


def name_at(code: str, cursor: int) -> str:
    """Return the dotted name around the cursor, or that of the function whose arguments are around it."""
    end = cursor
    while end < len(code) and (code[end].isalnum() or code[end] == "_"):
        end += 1
    found = _CHAIN.search(code[:end])
    if found and not keyword.iskeyword(found[0]):
        return found[0]
    depth = 0
    for place in range(min(cursor, len(code)) - 1, -1, -1):
        if code[place] == ")":
            depth += 1
        elif code[place] == "(":
            if not depth:
                called = _CHAIN.search(code[:place].rstrip())
                return called[0] if called else ""
            depth -= 1
    return ""


def description(names: dict[str, Any], code: str, cursor: int, detail: int) -> str | None:
    """Return what is known of the object at the cursor as text, with its source if `detail` is 1."""
    name = name_at(code, cursor)
    value = find(names, name) if name else _MISSING
    if value is _MISSING:
        return None
    lines = []
    if callable(value):
        try:
            lines.append(f"Signature: {name}{inspect.signature(value)}")
        except (TypeError, ValueError):
            lines.append(f"Call: {name}(...)")
    lines.append(f"Type: {type(value).__name__}")
    source, text = _source(value) if detail else "", inspect.getdoc(value)
    if source or text:
        lines.append(f"Source:\n{source}" if source else f"Docstring:\n{text}")
    return "\n".join(lines)


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""
