"""Read XML whose elements are records: the children of the root, or of its only child."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Dict, List
from xml.etree import ElementTree

from agent_kernel.kernel.sandbox_scripts.archives import LARGE, Bounded, local
from agent_kernel.kernel.sandbox_scripts.summary import Json, Limit, Unreadable, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYOUT_RECORDS = 1_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_INT, _FLOAT = re.compile(r"[+-]?(0|[1-9]\d{0,17})"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class _Nested(Unreadable):
    """Below the records there is more than one level."""


def read(path: str) -> Json:
    """Return the description of the records. Raises `Unreadable`."""
    for depth in (2, 3):
        with open(path, "rb") as file:
            records = _records(Bounded(file, LARGE), depth)
            try:
                first = list(islice(records, LAYOUT_RECORDS))
            except _Nested:
                continue
            names = list(dict.fromkeys(name for record in first for name in record))
            if len(first) < 2 or not names:
                continue
            rows = ([record.get(name) for name in names] for record in _again(first, records))
            notes = ["one row for each element `%s`" % "/".join([".."] * (depth - 1))] if depth == 3 else []
            return summary(names, rows, notes, Limit())
    raise Unreadable("its elements are no records")


def _again(first: List[Dict[str, Any]], rest: Iterator[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    yield from first
    yield from rest


def _records(source: Any, depth: int) -> Iterator[Dict[str, Any]]:
    """Yield attributes and children of each element at this depth that has no deeper levels."""
    level = 0
    parents: List[ElementTree.Element] = []
    for event, element in ElementTree.iterparse(source, ("start", "end")):
        if event == "start":
            if not level and local(element.tag) == "VOTABLE":
                raise Unreadable("it is a VOTable, which names its columns apart from its rows")
            level += 1
            parents.append(element)
            if level > depth + 1:
                raise _Nested("its elements are nested, so they are no records")
            continue
        if level == depth:
            record: Dict[str, Any] = {local(name): _typed(value) for name, value in element.items()}
            for child in element:
                record.setdefault(local(child.tag), _typed(child.text))
            if len(record):
                yield record
            parents[-2].clear()
        level -= 1
        parents.pop()


def _typed(text: Any) -> Any:
    text = (text or "").strip()
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text) if _is_moment(text) else text
    return {"true": True, "false": False}.get(text.lower(), text or None)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:  # 2024-02-30
        return False
    return True
