"""Read Excel 97 workbooks, Stata, SPSS and SAS files with libraries of the container."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, List

from agent_kernel.kernel.sandbox_scripts.sheets import first_table, sheet_notes, table_of
from agent_kernel.kernel.sandbox_scripts.summary import (
    MAX_ROWS,
    Json,
    Limit,
    Row,
    Unreadable,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 64 << 20
CHUNK = 5_000


def excel_97(path: str) -> Json:
    """Return the description of an .xls workbook, with xlrd. Raises `Unreadable`."""
    try:
        import xlrd
    except ImportError as error:
        raise _lacking("xlrd") from error
    if os.path.getsize(path) > MAX_BYTES:
        raise Unreadable("it is too large: xlrd reads the whole file")
    try:
        with (
            open(os.devnull, "w") as log,
            xlrd.open_workbook(path, logfile=log, on_demand=True, ragged_rows=True) as book,
        ):
            notes = ["dates count from 1904"] if book.datemode else []

            def table(number: int, limit: Limit) -> Json:
                return table_of(_xls_rows(book, book.sheet_by_index(number)), notes, limit)

            number, found = first_table(partial(table, n) for n in range(book.nsheets))
            found["notes"] = sheet_notes(book.sheet_names(), number) + found["notes"]
            return found
    except (xlrd.XLRDError, AssertionError, IndexError) as error:
        raise Unreadable("xlrd cannot read it (%s)" % str(error)[:80]) from error


def _xls_rows(book: Any, sheet: Any) -> Iterator[Row]:
    import xlrd

    def value(cell: Any) -> Any:
        if cell.ctype == xlrd.XL_CELL_DATE:
            moment = xlrd.xldate_as_datetime(cell.value, book.datemode)
            return moment if cell.value >= 1 else moment.time()
        if cell.ctype == xlrd.XL_CELL_NUMBER:
            return int(cell.value) if cell.value.is_integer() and abs(cell.value) < 1e15 else cell.value
        if cell.ctype == xlrd.XL_CELL_BOOLEAN:
            return bool(cell.value)
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return float("nan")
        return cell.value if cell.ctype == xlrd.XL_CELL_TEXT and cell.value else None

    for n in range(sheet.nrows):
        yield [value(cell) for cell in sheet.row(n)]


def stata(path: str) -> Json:
    """Return the description of a .dta file, with pandas. Raises `Unreadable`."""
    try:
        import pandas
    except ImportError as error:
        raise _lacking("pandas") from error
    for labels in (True, False):
        try:
            with pandas.read_stata(path, chunksize=CHUNK, convert_categoricals=labels) as reader:
                return _of_chunks(reader)
        except (ValueError, KeyError, NotImplementedError) as error:
            if not labels:
                raise Unreadable("pandas cannot read it (%s)" % str(error)[:80]) from error
    raise Unreadable("pandas cannot read it")


def statistics(path: str) -> Json:
    """Return the description of an SPSS or SAS file, with pyreadstat or pandas. Raises `Unreadable`."""
    ending = path.lower().rpartition(".")[2]
    try:
        import pyreadstat
    except ImportError as error:
        if ending in ("sas7bdat", "xpt"):
            return _sas(path)
        raise _lacking("pyreadstat") from error
    # SPSS files carry the texts of their codes; in SAS a blank text is a missing value.
    labels: Json = {"apply_value_formats": True, "formats_as_category": False}
    months: Json = {"extra_date_formats": ["MONNAME", "QTR", "WEEKDATE"]}
    read, options = {
        "sav": (pyreadstat.read_sav, labels),
        "zsav": (pyreadstat.read_sav, labels),
        "por": (pyreadstat.read_por, labels),
        "xpt": (pyreadstat.read_xport, months),
        "sas7bdat": (pyreadstat.read_sas7bdat, months),
    }[ending]
    try:
        frame, about = read(path, row_limit=MAX_ROWS, **options)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError) as error:
        raise Unreadable("pyreadstat cannot read it (%s)" % str(error)[:80]) from error
    rows = _frame_rows(frame) if options is labels else _without_blanks(_frame_rows(frame))
    found = summary([str(name) for name in frame.columns], rows)
    if about.number_rows and about.number_rows > found["count"]:
        found["whole"] = False
    return found


def _without_blanks(rows: Iterator[Row]) -> Iterator[Row]:
    return ([None if value == "" else value for value in row] for row in rows)


def _sas(path: str) -> Json:
    try:
        import pandas

        encoding = "infer" if path.lower().endswith("bdat") else "latin-1"
        with pandas.read_sas(path, chunksize=CHUNK, encoding=encoding) as reader:
            return _of_chunks(reader, _without_blanks)
    except ImportError as error:
        raise _lacking("pandas or pyreadstat") from error
    except ValueError as error:
        raise Unreadable("pandas cannot read it (%s)" % str(error)[:80]) from error


def _lacking(package: str) -> Unreadable:
    return Unreadable("it needs %s, which the container does not have" % package)


def _of_chunks(reader: Any, changed: Callable[[Iterator[Row]], Iterator[Row]] = iter) -> Json:
    """Return the description of a table in chunks, the rows of which `changed` returns as they are meant."""
    chunks = iter(reader)
    first = next(chunks, None)
    if first is None:
        raise Unreadable("it is empty")

    def rows() -> Iterator[Row]:
        yield from _frame_rows(first)
        for chunk in chunks:
            yield from _frame_rows(chunk)

    return summary([str(name) for name in first.columns], changed(rows()))


def _frame_rows(frame: Any) -> Iterator[Row]:
    """Yield the rows of a data frame as Python values; whole floats are whole numbers if all of them are."""
    columns = [_column(frame.iloc[:, n]) for n in range(frame.shape[1])]
    return (list(row) for row in zip(*columns))  # noqa: B905 (3.8)


def _column(column: Any) -> List[Any]:
    missing = column.isna()
    values = column.astype(object).tolist()
    return [None if gone else value for value, gone in zip(values, missing)]  # noqa: B905 (3.8)
