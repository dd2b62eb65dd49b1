"""Read tables with pandas and pyarrow, with the options given: `python reference.py ROOT < tasks`.

Runs in the corpus's environment, without this project. A task is a line of JSON with `path` and `options`.
The answer is a line with the shape, and the names, types and missing values of the first columns.
"""

import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = 12
ISO = r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d:?\d\d))?)?"
CODE = re.compile(rb"(^|[,;|\s\"])0\d+($|[,;|\s\"])", re.MULTILINE)
TYPED = (".xlsx", ".xlsm", ".xls", ".ods", ".dta", ".sav", ".zsav", ".sas7bdat", ".xpt")
PACKED = (".gz", ".bz2", ".xz")
MAX_INTEGER = 10**18
WORDS = {
    "datetime": "date",
    "date": "date",
    "Timestamp": "date",
    "time": "time",
    "timedelta": "duration",
    "Timedelta": "duration",
    "float64": "float",
    "int64": "int",
}


def frame_of(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Read the file as its name says, or as `read` in the options says."""
    reader = options.pop("read", "")
    whole, durations = options.pop("whole", []), options.pop("durations", [])
    frame = _read(path, reader, options)
    for name in whole:  # counts of milliseconds
        frame[name] = frame[name].map(lambda value: int(value) if isinstance(value, float) else value)
    for name in durations:
        parts = frame[name].str.extract(r"PT(\d+)H(\d+)M(\d+)S").astype(int)
        frame[name] = pd.to_timedelta(parts[0] * 3600 + parts[1] * 60 + parts[2], unit="s")
    return frame


def _read(path: Path, reader: str, options: dict[str, Any]) -> pd.DataFrame:
    name = path.name.lower()
    if reader == "fwf":
        return pd.read_fwf(path, **options)
    if name.endswith((".json", ".json.gz")):
        return json_frame(path, options)
    if name.endswith((".xlsx", ".xlsm", ".xls", ".ods")) and not reader:
        return pd.read_excel(path, dtype=object, **options)
    for ending, read in BY_NAME.items():
        if name.endswith(ending):
            return read(path, **options)
    return text_frame(path, options)


BY_NAME = {
    ".dta": pd.read_stata,
    ".sav": pd.read_spss,
    ".zsav": pd.read_spss,
    ".sas7bdat": pd.read_sas,
    ".xpt": pd.read_sas,
    ".xml": pd.read_xml,
}


def text_frame(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Read delimited text. A column with a code such as `007` stays text; `dates` have the formats given."""
    dates = options.pop("dates", {})
    codes = {}
    if path.suffix in PACKED or CODE.search(path.read_bytes()):
        texts = pd.read_csv(path, **{**options, "dtype": str, "keep_default_na": False})
        codes = {name: str for name, cells in texts.items() if cells.str.strip().str.fullmatch(r"0\d+").any()}
    kinds = {**codes, **options.pop("dtype", {})}
    frame = pd.read_csv(path, dtype_backend="numpy_nullable", dtype=kinds, **options)
    for name, form in dates.items():
        column = name if name in frame.columns else frame.columns[int(name)]
        frame[column] = pd.to_datetime(frame[column].str.strip(), format=form, utc="%z" in form)
    return frame


def json_frame(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Read JSON records with Python's own values, below the key `under` if there is one.

    `lines`: a value on each line; `rows`: an object of rows; `columns`: an object of columns of cells by row.
    """
    text = path.read_text(encoding="utf-8")
    found: Any = (
        [json.loads(line) for line in text.splitlines()] if options.get("lines") else json.loads(text)
    )
    for key in options.get("under", "").split("/"):
        found = found[key] if key else found
    if options.get("rows"):
        found = list(found.values())
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


def kind_of(column: pd.Series, *, typed: bool) -> str:
    """Return our word for a column's type. In text formats, texts such as 2024-01-31 are dates."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    there = column.dropna()
    if there.empty:
        return ""
    if column.dtype == object:
        kinds = {_kind(value) for value in there}
        if kinds == {"int", "float"}:
            return "float"
        if not typed and kinds == {"text"} and there.astype(str).str.fullmatch(ISO).all():
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
    if pd.api.types.is_timedelta64_dtype(column):
        return "duration"
    return "date" if not typed and there.astype(str).str.fullmatch(ISO).all() else "text"


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
    return kinds.get(type(value)) or WORDS.get(name, "text")


def described(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return what pandas or pyarrow reads."""
    if path.suffix in (".parquet", ".feather", ".orc"):
        return arrow(path)
    frame = frame_of(path, dict(options))
    typed = path.suffix in TYPED and "read" not in options
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=[name or "" for name in frame.index.names])
    names = [str(name) for name in frame.columns[:COLUMNS]]
    if options.get("header", 0) is None and "names" not in options:
        names = [str(n + 1) for n in range(len(names))]
    columns = [
        [
            re.sub(r"^Unnamed: \d+.*", "", name),
            kind_of(frame.iloc[:, n], typed=typed),
            int(frame.iloc[:, n].isna().sum()),
        ]
        for n, name in enumerate(names)
    ]
    return {"rows": len(frame), "width": frame.shape[1], "columns": columns}


def main() -> None:
    """Answer each line of standard input with a line."""
    root = Path(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print warnings
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer = described(root / task["path"], task["options"])
        except Exception as error:  # noqa: BLE001 (the test fails with it)
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
