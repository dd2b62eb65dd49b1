"""Read OpenDocument spreadsheets (.ods) row by row."""

from __future__ import annotations

import re
import zipfile
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, List
from xml.etree import ElementTree

from agent_kernel.kernel.sandbox_scripts.archives import attribute, local, opened
from agent_kernel.kernel.sandbox_scripts.sheets import first_table, sheet_notes, table_of
from agent_kernel.kernel.sandbox_scripts.summary import Json, Limit, Row, Unreadable

if TYPE_CHECKING:
    from collections.abc import Generator

MAX_WIDTH, MAX_REPEATED = 1_024, 10_000
_SPAN = re.compile(r"(-?)PT?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?")


def read(path: str) -> Json:
    """Return the description of the first sheet. Raises `Unreadable`."""
    with zipfile.ZipFile(path) as archive:
        names = _names(archive)
        if not names:
            raise Unreadable("it has no sheets")

        def table(number: int, limit: Limit) -> Json:
            with closing(_rows(archive, number)) as rows:
                return table_of(rows, [], limit)

        number, found = first_table(partial(table, n) for n in range(len(names)))
        found["notes"] = sheet_notes(names, number) + found["notes"]
        return found


def _names(archive: zipfile.ZipFile) -> List[str]:
    """Return the names of the sheets, as far as the time allows."""
    names, limit = [], Limit(seconds=3.0)
    with opened(archive, "content.xml") as source:
        for event, element in ElementTree.iterparse(source, ("start", "end")):
            tag = local(element.tag)
            if event == "start" and tag == "table":
                names.append(attribute(element, "name"))
            elif event == "end" and tag == "table-row":
                element.clear()
                if limit.passed:
                    break
    return names


def _rows(archive: zipfile.ZipFile, number: int) -> Generator[Row, None, None]:
    """Yield the rows of one sheet; sheets count from 0."""
    with opened(archive, "content.xml") as source:
        for _, element in ElementTree.iterparse(source):
            if local(element.tag) == "table":
                if not number:
                    return
                number -= 1
                element.clear()
            elif local(element.tag) == "table-row" and number:
                element.clear()
            elif local(element.tag) == "table-row":
                row = _cells(element)
                repeated = int(attribute(element, "number-rows-repeated") or 1)
                element.clear()
                for _ in range(min(repeated, MAX_REPEATED)):
                    yield list(row)


def _cells(element: ElementTree.Element) -> Row:
    row: Row = []
    for cell in element:
        if local(cell.tag) not in ("table-cell", "covered-table-cell"):
            continue
        repeated = int(attribute(cell, "number-columns-repeated") or 1)
        row += [_value(cell)] * min(repeated, MAX_WIDTH - len(row))
    while row and row[-1] is None:
        row.pop()
    return row


def _value(cell: ElementTree.Element) -> Any:
    kind = attribute(cell, "value-type")
    if not kind or local(cell.tag) == "covered-table-cell":
        return None
    if kind in ("float", "percentage", "currency"):
        number = float(attribute(cell, "value"))
        return int(number) if number.is_integer() and abs(number) < 1e15 else number
    if kind == "boolean":
        return attribute(cell, "boolean-value") == "true"
    if kind == "date":
        try:
            return datetime.fromisoformat(attribute(cell, "date-value")[:26])
        except ValueError:
            return attribute(cell, "date-value")
    if kind == "time":
        return _span(attribute(cell, "time-value"))
    return "\n".join(_text(child) for child in cell if local(child.tag) == "p") or None


def _text(element: ElementTree.Element) -> str:
    """Return the text of a paragraph; its spaces, tabs and line breaks may be elements."""
    kind = local(element.tag)
    if kind in ("tab", "line-break"):
        return "\t" if kind == "tab" else "\n"
    if kind == "s":
        return " " * min(int(attribute(element, "c") or 1), MAX_WIDTH)
    return (element.text or "") + "".join(_text(child) + (child.tail or "") for child in element)


def _span(text: str) -> Any:
    """Return a time of day, or a duration of a day or more."""
    found = _SPAN.fullmatch(text)
    if not found:
        return text
    hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in found.groups()[1:])
    span = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if found[1]:
        return -span
    return (datetime.min + span).time() if span < timedelta(days=1) else span
