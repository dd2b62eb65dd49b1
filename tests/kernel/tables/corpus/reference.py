"""Read tables with pandas and pyarrow, with the options given: `python reference.py ROOT < tasks`.

Runs in the corpus's environment, without this project. A task is a line of JSON with `path` and `options`.
The answer is a line with the shape, and the names, types and missing values of the first columns.
"""

import json
import re
import sqlite3
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = 12
ISO = r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d:?\d\d))?)?"
MAX_INTEGER = 10**18


def frame_of(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Read the file as its name says, or as `read` in the options says."""
    reader = options.pop("read", "")
    name = path.name.lower()
    if reader == "json":
        return json_frame(path, options)
    if name.endswith((".xlsx", ".xls", ".ods")):
        return pd.read_excel(path, **{"dtype_backend": "numpy_nullable", **options})
    if name.endswith(".dta"):
        return pd.read_stata(path, **options)
    if name.endswith(".db"):
        with sqlite3.connect(path) as connection:
            return pd.read_sql(options["sql"], connection)
    if name.endswith(".xml"):
        return pd.read_xml(path, **options)
    if name.endswith(".json"):
        return json_frame(path, options)
    return pd.read_csv(path, **{"dtype_backend": "numpy_nullable", **options})


def json_frame(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Read JSON records with Python's own values, below the key `under` if there is one."""
    found = json.loads(path.read_text(encoding="utf-8"))
    for key in options.get("under", "").split("/"):
        found = found[key] if key else found
    if options.get("items"):
        found = [{"key": key, "value": value} for key, value in found.items()]
    if options.get("columns"):
        found = {name: list(cells.values()) for name, cells in found.items()}
    return pd.DataFrame(found, dtype=object)


def arrow(path: Path) -> dict[str, Any]:
    """Describe Parquet, Feather and ORC files by pyarrow."""
    import pyarrow as pa
    from pyarrow import feather, orc, parquet

    if path.suffix == ".parquet":
        table = parquet.read_table(path)
    else:
        table = orc.ORCFile(path).read() if path.suffix == ".orc" else feather.read_table(path)
    tests = {
        "bool": pa.types.is_boolean,
        "int": pa.types.is_integer,
        "float": lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t),
        "date": lambda t: pa.types.is_date(t) or pa.types.is_timestamp(t),
        "time": pa.types.is_time,
        "list": lambda t: pa.types.is_list(t) or pa.types.is_large_list(t),
        "object": pa.types.is_nested,
    }
    columns = []
    for field in list(table.schema)[:COLUMNS]:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        word = next((word for word, test in tests.items() if test(kind)), "text")
        columns.append([field.name, word, table.column(field.name).null_count])
    return {"rows": table.num_rows, "width": table.num_columns, "columns": columns}


def kind_of(column: pd.Series) -> str:
    """Return our word for a column's type."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    there = column.dropna()
    if there.empty:
        return ""
    if column.dtype == object:
        kinds = {_kind(value) for value in there}
        if kinds == {"int", "float"}:
            return "float"
        if kinds == {"text"} and there.astype(str).str.fullmatch(ISO).all():
            return "date"
        return next(iter(kinds)) if len(kinds) == 1 else "mixed"
    if pd.api.types.is_bool_dtype(column):
        return "bool"
    if pd.api.types.is_integer_dtype(column):
        return "int" if there.abs().max() < MAX_INTEGER else "float"
    if pd.api.types.is_float_dtype(column):
        return "float"
    if pd.api.types.is_datetime64_any_dtype(column):
        return "date"
    return "date" if there.astype(str).str.fullmatch(ISO).all() else "text"


def _kind(value: Any) -> str:
    kinds = {
        bool: "bool",
        np.bool_: "bool",
        int: "int",
        float: "float",
        list: "list",
        dict: "object",
        str: "text",
    }
    name = type(value).__name__
    return kinds.get(type(value)) or {"datetime": "date", "Timestamp": "date", "time": "time"}.get(
        name, "text"
    )


def described(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return what pandas or pyarrow reads."""
    if path.suffix in (".parquet", ".feather", ".orc"):
        return arrow(path)
    if options.get("header", 0) is None and "dtype" in options:
        options = {**options, "dtype": {int(column): kind for column, kind in options["dtype"].items()}}
    frame = frame_of(path, dict(options))
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=[name or "" for name in frame.index.names])
    names = [str(name) for name in frame.columns[:COLUMNS]]
    if options.get("header", 0) is None and "names" not in options:
        names = [str(n + 1) for n in range(len(names))]
    columns = [
        [re.sub(r"^Unnamed: \d+.*", "", name), kind_of(frame.iloc[:, n]), int(frame.iloc[:, n].isna().sum())]
        for n, name in enumerate(names)
    ]
    return {"rows": len(frame), "width": frame.shape[1], "columns": columns}


def main() -> None:
    """Answer each line of standard input with a line."""
    root = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer = described(root / task["path"], task["options"])
        except Exception as error:  # noqa: BLE001 (the test fails with it)
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
