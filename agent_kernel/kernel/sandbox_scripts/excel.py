"""Read Excel workbooks (.xlsx, .xlsm) row by row."""

from __future__ import annotations

import re
import zipfile
from contextlib import closing
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Dict, List
from xml.etree import ElementTree

from agent_kernel.kernel.sandbox_scripts.archives import attribute, local, opened, parsed
from agent_kernel.kernel.sandbox_scripts.sheets import first_table, sheet_notes, table_of
from agent_kernel.kernel.sandbox_scripts.summary import Json, Limit, NotCalculated, Row, Unreadable

if TYPE_CHECKING:
    from collections.abc import Generator

DATE, TIME, DURATION = "date", "time", "duration"
BUILT_IN = dict.fromkeys((*range(14, 18), 22, *range(27, 32), *range(50, 59)), DATE)
BUILT_IN.update({18: TIME, 19: TIME, 20: TIME, 21: TIME, 45: TIME, 46: DURATION, 47: TIME})
MAX_TEXTS = 1_000_000
_DURATION = re.compile(r"\[(h+|m+|s+)\]")
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')


def read(path: str) -> Json:
    """Return the description of the first sheet that has a table."""
    with zipfile.ZipFile(path) as archive:
        book = _Book(archive)
        if not book.sheets:
            raise Unreadable("it has no sheets")

        def table(member: str, limit: Limit) -> Json:
            book.errors.clear()
            with closing(_rows(book, member)) as rows:
                described = table_of(rows, [], limit)
            described["notes"] += book.doubts()
            return described

        number, found = first_table(partial(table, member) for _, member in book.sheets)
        found["notes"] = sheet_notes([name for name, _ in book.sheets], number) + found["notes"]
        return found


class _Book:
    """What the sheets of a workbook share: texts, styles, the date system."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        names = set(archive.namelist())
        main = self._main(names)
        folder = main.rpartition("/")[0]
        book = parsed(archive, main)
        targets = self._targets(folder, main, names)
        self.sheets: List[tuple[str, str]] = []
        for sheet in book.iter():
            if local(sheet.tag) == "sheet" and targets.get(attribute(sheet, "id")) in names:
                self.sheets.append((attribute(sheet, "name"), targets[attribute(sheet, "id")]))
        flags = [e.get("date1904", "0") for e in book.iter() if local(e.tag) == "workbookPr"]
        self.starts_1904 = bool(flags) and flags[0] in ("1", "true")
        texts, styles = folder + "/sharedStrings.xml", folder + "/styles.xml"
        self.texts = self._shared_texts(texts) if texts in names else []
        self.kinds = self._kinds(styles) if styles in names else {}
        self.errors: Dict[str, int] = {}

    def _main(self, names: set[str]) -> str:
        if "xl/workbook.xml" in names:
            return "xl/workbook.xml"
        root = parsed(self.archive, "_rels/.rels")
        for relation in root:
            if relation.get("Type", "").endswith("/officeDocument"):
                return relation.get("Target", "").lstrip("/")
        raise Unreadable("it is not an Excel workbook")

    def _targets(self, folder: str, main: str, names: set[str]) -> Dict[str, str]:
        relations = "%s/_rels/%s.rels" % (folder, main.rpartition("/")[2])
        targets = {}
        for relation in parsed(self.archive, relations) if relations in names else ():
            if relation.get("Type", "").endswith("/worksheet"):
                target = relation.get("Target", "")
                path = target.lstrip("/") if target.startswith("/") else folder + "/" + target
                targets[relation.get("Id", "")] = path
        return targets

    def _shared_texts(self, member: str) -> List[str]:
        texts: List[str] = []
        limit = Limit(seconds=3.0)
        root = None
        with opened(self.archive, member) as source:
            for event, element in ElementTree.iterparse(source, ("start", "end")):
                root = element if root is None else root
                if event == "end" and local(element.tag) == "si":
                    texts.append(_text_of(element))
                    root.clear()
                    if len(texts) == MAX_TEXTS or (len(texts) % 1_000 == 0 and limit.passed):
                        break
        return texts

    def _kinds(self, member: str) -> Dict[int, str]:
        """Return what the cell styles make of a number: a date, a time of day or a duration."""
        styles = parsed(self.archive, member)
        kinds = dict(BUILT_IN)
        for own in styles.iter():
            if local(own.tag) == "numFmt":
                kind = kind_of_format(own.get("formatCode", ""))
                number = int(own.get("numFmtId", 0))
                kinds.pop(number, None)
                if kind:
                    kinds[number] = kind
        formats = [e for group in styles if local(group.tag) == "cellXfs" for e in group]
        numbers = [int(style.get("numFmtId", 0)) for style in formats]
        return {n: kinds[number] for n, number in enumerate(numbers) if number in kinds}

    def doubts(self) -> List[str]:
        """Return what the caption says about values."""
        told = ["dates count from 1904"] if self.starts_1904 else []
        if self.errors:
            kinds = ", ".join("`%s`" % kind for kind in sorted(self.errors)[:4])
            told.append("%d error values (%s) counted as missing" % (sum(self.errors.values()), kinds))
        return told


def kind_of_format(code: str) -> str:
    """Return what a number format shows: `date`, `time`, `duration`, or nothing of them."""
    code = code.split(";")[0].lower()
    if _DURATION.search(code):
        return DURATION
    code = _LITERAL.sub("", code).replace("general", "")
    if set(code) & set("#0?") and not re.search(r"[ydhs]", code):
        return ""
    if re.search(r"[yd]", code) or ("m" in code and not re.search(r"[hs]", code)):
        return DATE
    return TIME if re.search(r"[hs]", code) else ""


def _text_of(element: ElementTree.Element) -> str:
    """Return the text of a cell without its phonetic readings."""
    found = []
    for child in element:
        if local(child.tag) == "t":
            found.append(child.text or "")
        elif local(child.tag) == "r":
            found += [text.text or "" for text in child if local(text.tag) == "t"]
    return "".join(found)


def _rows(book: _Book, member: str) -> Generator[Row, None, None]:
    """Yield each row of a sheet, as a list with None where there is no value."""
    data = None
    with opened(book.archive, member) as source:
        for event, element in ElementTree.iterparse(source, ("start", "end")):
            tag = local(element.tag)
            if event == "start":
                data = element if tag == "sheetData" else data
            elif tag == "row" and data is not None:
                yield _cells(book, element)
                data.clear()


def _cells(book: _Book, element: ElementTree.Element) -> Row:
    row: Row = []
    for cell in element:
        column = 0
        for letter in cell.get("r", ""):
            if not letter.isalpha():
                break
            column = column * 26 + ord(letter.upper()) - 64
        if column:
            row += [None] * (min(column, 16_384) - 1 - len(row))
        row.append(_value(book, cell))
    return row


def _value(book: _Book, cell: ElementTree.Element) -> Any:
    kind = cell.get("t", "n")
    inside = {local(child.tag): child for child in cell}
    if kind == "inlineStr":
        return _text_of(inside["is"]) if "is" in inside else None
    held = inside["v"].text if "v" in inside else None
    if not held:
        return NotCalculated() if "f" in inside and "v" not in inside else None
    if kind == "e":
        book.errors[held[:20]] = book.errors.get(held[:20], 0) + 1
        return float("nan")
    if kind == "s":
        number = int(held)
        return book.texts[number] if number < len(book.texts) else "…"
    if kind == "b":
        return held == "1"
    if kind == "d":
        return _iso(held)
    return held if kind == "str" else _number(book, float(held), book.kinds.get(int(cell.get("s", 0))))


def _iso(held: str) -> Any:
    try:
        return datetime.fromisoformat(held.rstrip("Z"))
    except ValueError:
        return held


def _number(book: _Book, number: float, kind: Any) -> Any:
    if kind == DURATION:
        return timedelta(milliseconds=round(number * 86_400_000))
    if kind and 0 <= number < 2_958_466:
        return moment(number, starts_1904=book.starts_1904)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def moment(number: float, *, starts_1904: bool) -> Any:
    """Return the date and time of a serial number, to the millisecond; a time of day if it is less than 1."""
    span = timedelta(milliseconds=round(number * 86_400_000))
    if number < 1 and span < timedelta(days=1):
        return (datetime.min + span).time() if not starts_1904 or number else time()
    if starts_1904:
        return datetime(1904, 1, 1) + span
    leap = timedelta(days=1) if number < 60 else timedelta()  # Excel counts a 29 February 1900
    return datetime.combine(date(1899, 12, 30), time()) + span + leap
