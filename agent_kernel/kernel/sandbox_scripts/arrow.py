"""Read Arrow files (Feather, Arrow IPC, ORC) and the rows of Parquet with pyarrow, in small batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from agent_kernel.kernel.sandbox_scripts.summary import (
    CELL,
    MAX_ROWS,
    PART,
    Json,
    Limit,
    Unreadable,
    described,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_ARROW = "rows need pyarrow, which the container does not have"
MAX_BYTES = 64 << 20


def rows_of(path: str, names: Sequence[str]) -> List[List[str]]:
    """Return the rows of `PART` of a Parquet file as text. Raises `ImportError` without pyarrow."""
    from pyarrow import parquet

    file = parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
    wanted = [n for n, field in enumerate(file.schema_arrow) if field.name in names][: PART.columns]
    leaves = {file.schema.column(n).path.split(".")[0] for n in range(len(file.schema))}
    columns = [file.schema_arrow.field(n).name for n in wanted if file.schema_arrow.field(n).name in leaves]
    taken = _Taken()
    for batch in file.iter_batches(batch_size=PART.rows, columns=columns, use_threads=False):
        taken.add(batch)
        if taken.are_all:
            break
    return taken.rows


def read(path: str) -> Json:
    """Return the description of a Feather, Arrow or ORC file. Raises `Unreadable`."""
    try:
        import pyarrow
    except ImportError as error:
        raise Unreadable("it needs pyarrow, which the container does not have") from error
    try:
        if path.lower().endswith(".orc"):
            return _orc(path)
        with open(path, "rb") as file:
            magic = file.read(6)
        if magic[:4] == b"FEA1":
            return _feather_v1(path)
        source = pyarrow.memory_map(path)
        if magic == b"ARROW1":
            reader = pyarrow.ipc.open_file(source)
            count = _count(path)
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
            return _described(reader.schema, batches, count)
        stream = pyarrow.ipc.open_stream(source)
        return _described(stream.schema, stream, None)
    except (pyarrow.ArrowException, OSError, StopIteration) as error:
        raise Unreadable("it is not an Arrow file that pyarrow reads") from error


def _count(path: str) -> Any:
    """Return the number of rows, which pyarrow takes from the batches' headers."""
    from pyarrow import dataset

    return dataset.dataset(path, format="ipc").count_rows()


def _orc(path: str) -> Json:
    from pyarrow import orc

    file = orc.ORCFile(path)
    return _described(file.schema, (file.read_stripe(n) for n in range(file.nstripes)), file.nrows)


def _feather_v1(path: str) -> Json:
    import os

    from pyarrow import feather

    if os.path.getsize(path) > MAX_BYTES:
        raise Unreadable("it is a large file of the first Feather version, which is read whole or not at all")
    table = feather.read_table(path)
    return _described(table.schema, table.to_batches(), table.num_rows)


def _described(schema: Any, batches: Any, count: Any) -> Json:
    """Count missing values batch by batch, as far as the limits allow."""
    width = len(schema)
    limit = Limit(rows=10 * MAX_ROWS)
    missing = [0] * min(width, PART.columns)
    seen = 0
    found, taken = iter(batches), _Taken()
    whole = True
    for batch in found:
        seen += batch.num_rows
        taken.add(batch)
        for n in range(len(missing)):
            missing[n] += batch.column(n).null_count
        if seen >= limit.rows or limit.passed:
            whole = next(found, None) is None
            break
    fields = [schema.field(n) for n in range(len(missing))]
    known = whole or None
    columns = [[f.name[:CELL], kind_of_type(f.type), m if known else None] for f, m in zip(fields, missing)]  # noqa: B905 (3.8)
    total = count if count is not None else seen
    return described(columns, width, total, taken.rows, whole=count is not None or whole)


class _Taken:
    """Takes the rows of `PART` out of batches that follow each other, as text."""

    def __init__(self) -> None:
        self.rows: List[List[str]] = []
        self._passed = 0

    @property
    def are_all(self) -> bool:
        return len(self.rows) >= PART.rows

    def add(self, batch: Any) -> None:
        """Take the next batch."""
        start = max(0, PART.first - self._passed)
        self._passed += batch.num_rows
        if self.are_all or start >= batch.num_rows:
            return
        few = batch.slice(start, PART.rows - len(self.rows))
        columns = [_values(few.column(n)) for n in range(min(few.num_columns, PART.columns))]
        self.rows += [[written(value) for value in row] for row in zip(*columns)]  # noqa: B905 (3.8)


def _values(column: Any) -> List[Any]:
    """Return Arrow's own values: whole numbers stay whole beside missing ones."""
    import pyarrow

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column = (
            column.dictionary_decode()
            if hasattr(column, "dictionary_decode")
            else column.cast(kind.value_type)
        )
        kind = column.type
    if pyarrow.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False)
    elif pyarrow.types.is_duration(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.duration("us"), safe=False)
    elif pyarrow.types.is_time64(kind) and kind.unit == "ns":
        column = column.cast(pyarrow.time64("us"), safe=False)
    values: List[Any] = column.to_pylist()
    return values


def kind_of_type(kind: Any) -> str:
    """Return the type's name that the kernel shows for an Arrow type."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return kind_of_type(kind.value_type)
    tests = (
        ("bool", types.is_boolean),
        ("int", types.is_integer),
        ("float", types.is_floating),
        ("float", types.is_decimal),
        ("date", types.is_date),
        ("date", types.is_timestamp),
        ("time", types.is_time),
        ("duration", types.is_duration),
        ("list", types.is_list),
        ("list", types.is_large_list),
        ("list", types.is_fixed_size_list),
        ("object", types.is_nested),
        ("", types.is_null),
    )
    return next((name for name, test in tests if test(kind)), "text")
