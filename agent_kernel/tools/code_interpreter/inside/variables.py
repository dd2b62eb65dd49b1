"""The variables of a session: a list of all, and one as a table. Each text is short, and made quickly."""

from __future__ import annotations

import contextlib
import json
import reprlib
import signal
import sys
import types
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MOST = 200
"""Variables of a list."""

LONGEST = 200
"""Characters of a cell, a preview or a name."""

SECONDS = 0.5
"""Seconds that one variable may take to describe itself."""

COLUMNS = 12
MOST_COLUMNS = 60
MOST_ROWS = 1000
ROOM = 500_000
"""Bytes of the rows in one answer."""

_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)


class _TooLong(BaseException):
    """A variable took too long to describe itself."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise _TooLong

    handler = signal.signal(signal.SIGALRM, end)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def variables(names: dict[str, Any]) -> dict[str, Any]:
    """Return a row for each variable, by name, and how many modules, functions and classes there are too."""
    shown = {name: value for name, value in sorted(names.items()) if not isinstance(value, _CODE)}
    rows = [_row(name, value) for name, value in list(shown.items())[:MOST]]
    return {"rows": rows, "count": len(shown), "code": len(names) - len(shown)}


def _row(name: str, value: Any) -> list[Any]:
    """Return name, type, shape, bytes and preview. What cannot be found out is empty, or None."""
    return [
        name[:LONGEST],
        _within(lambda: _type(value), "?"),
        _within(lambda: _shape(value), ""),
        _within(lambda: _size(value), None),
        _within(lambda: _preview(value), "[cannot be shown]"),
    ]


def _within(find: Any, otherwise: Any) -> Any:
    try:
        with _limited(SECONDS):
            found = find()
        return _short(found) if isinstance(found, str) else found
    except KeyboardInterrupt:
        raise
    except _TooLong:
        return "[takes too long]" if isinstance(otherwise, str) and otherwise else otherwise
    except BaseException:  # noqa: BLE001 (a variable's own code may raise anything)
        return otherwise


def _short(text: str) -> str:
    line = " ".join(text[: 4 * LONGEST].split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _library(value: Any) -> str:
    return str(type(value).__module__).partition(".")[0]


def _type(value: Any) -> str:
    name = type(value).__name__
    if _library(value) in ("numpy", "pandas", "polars") and not hasattr(value, "columns"):
        dtype = getattr(value, "dtype", None)
        return f"{name}[{dtype}]" if dtype is not None else name
    return str(name)


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None) if _library(value) != "unittest" else None
    if isinstance(shape, tuple) and all(isinstance(each, int) for each in shape):
        return " × ".join(f"{each:,}" for each in shape)
    return f"{len(value):,}" if hasattr(type(value), "__len__") else ""


def _size(value: Any) -> int | None:
    library = _library(value)
    if library == "pandas" and hasattr(value, "memory_usage"):
        used = value.memory_usage(deep=True)
        return int(used if isinstance(used, int) else used.sum())
    if library == "polars" and hasattr(value, "estimated_size"):
        return int(value.estimated_size())
    held = getattr(value, "nbytes", None) if library in ("numpy", "pyarrow") else None
    return int(held) if held is not None else sys.getsizeof(value)


_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 3, 80, LONGEST, 60


def _preview(value: Any) -> str:
    library = _library(value)
    if library in ("pandas", "polars") and hasattr(value, "columns"):
        return ", ".join(map(str, list(value.columns)[:20]))
    if library in ("pandas", "polars") and hasattr(value, "head"):
        return _REPR.repr(list(value.head(6)))
    if library == "numpy" and hasattr(value, "ravel"):
        return _REPR.repr(value.ravel()[:7].tolist())
    return _REPR.repr(value)


def table(
    names: dict[str, Any], name: str, rows: int, path: str | None, start: int = 0, columns: int = COLUMNS
) -> dict[str, Any]:
    """Return rows of a variable as text from `start` on, with its columns; write it as CSV to `path`.

    There may be fewer rows than asked for, but one at least if there is one. `{"missing": True}` without such
    a variable; `{"type"}` alone if it is not a table.
    """
    if name not in names:
        return {"missing": True}
    value = names[name]
    frame = _frame(value)
    if frame is None:
        return {"type": _within(lambda: _type(value), "?")}
    indexed = type(frame.index).__name__ != "RangeIndex"
    if path is not None:
        frame.to_csv(path, index=indexed)
    start, columns = max(0, start), max(1, min(columns, MOST_COLUMNS))
    part = frame.iloc[start : start + max(1, min(rows, MOST_ROWS))]
    if indexed:
        with contextlib.suppress(ValueError):  # a column has the name of the index
            part = part.reset_index()
    added = part.shape[1] - frame.shape[1]
    heads = [
        [_short(str(label)), _short(str(part.dtypes.iloc[at])), _lacking(frame, at - added)]
        for at, label in enumerate(part.columns[:columns])
    ]
    count, width = int(frame.shape[0]), int(part.shape[1])
    return {
        "type": _type(value),
        "columns": heads,
        "rows": _cells(part, columns),
        "count": count,
        "width": width,
    }


def _cells(part: Any, columns: int) -> list[list[str]]:
    """Return the rows of a part of a frame as text, as many as there is room for."""
    found: list[list[str]] = []
    room = ROOM
    for row in part.itertuples(index=False, name=None):
        cells = [_cell(each) for each in row[:columns]]
        room -= len(json.dumps(cells))
        if found and room < 0:
            break
        found.append(cells)
    return found


def _frame(value: Any) -> Any:
    """Return a variable as a DataFrame of pandas, None if it is not a table or there is no pandas."""
    if _library(value) == "pandas" and hasattr(value, "to_frame") and not hasattr(value, "columns"):
        return value.to_frame()
    if _library(value) == "pandas" and hasattr(value, "columns") and hasattr(value, "to_csv"):
        return value
    try:
        pandas: Any = import_module("pandas")
    except ImportError:
        return None
    if _library(value) == "polars" and hasattr(value, "columns"):
        return pandas.DataFrame(value.to_dict(as_series=False))
    if hasattr(value, "to_pandas"):
        return pandas.DataFrame(value.to_pandas())
    flat = _library(value) == "numpy" and getattr(value, "ndim", 0) in (1, 2)
    if flat or (isinstance(value, (list, dict)) and value):
        try:
            return pandas.DataFrame(value)
        except Exception:  # noqa: BLE001 (its values do not make a table)
            return None
    return None


def _lacking(frame: Any, at: int) -> int:
    return int(frame.iloc[:, at].isna().sum()) if at >= 0 else 0


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):  # NaN
        return ""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") if 1e-4 <= abs(value) < 1e15 else f"{value:.6g}"
    return str(_within(lambda: _short(str(value)), "[cannot be shown]"))
