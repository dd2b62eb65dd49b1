"""Tables read inside the containers of each backend, with what each has installed."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.kernel.render.files.tabular import preview_of
from agent_kernel.kernel.tables.caption import for_model
from agent_kernel.kernel.tables.preview import NoTable
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store
from tests.kernel.tables.workbooks import workbook

TABLES = Path(__file__).parents[1] / "render" / "tables"


@pytest.fixture
async def runtime(backend: Backend, tmp_path: Path) -> AsyncIterator[Runtime]:
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default="agent_kernel/shell"),
            backend=backend,
            store=sqlite_store(tmp_path / "store"),
            container_settings=ContainerOptions(upload_limit=1 << 20),
            turn_settings=TurnSettings(),
        )
    )
    yield runtime
    for container in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(container.id)
    await runtime.aclose()


async def content(data: bytes) -> AsyncIterator[bytes]:
    yield data


def tables(folder: Path) -> dict[str, bytes]:
    """Return small tables by name."""
    workbook(folder / "w.xlsx", [["Title"], ["a", "b"], ["x", (45292.5, 2)]], starts_1904=True)
    with sqlite3.connect(folder / "d.db") as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b")
    database.close()
    return {
        "w.xlsx": (folder / "w.xlsx").read_bytes(),
        "d.db": (folder / "d.db").read_bytes(),
        "p.parquet": (TABLES / "people.parquet").read_bytes(),
        "x.xls": b"x",
        "s.sav": b"x",
        "f.feather": b"x",
    }


@pytest.mark.on_docker
async def test_tables_in_containers_of_each_backend(
    runtime: Runtime, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    debian = "docker" in request.node.name
    container = await runtime.containers.create({"name": "tables"})
    said = {}
    for name, data in tables(tmp_path).items():
        file = await runtime.containers.files.create(
            container.id, path=name, content=content(data), size=len(data)
        )
        try:
            preview = await preview_of(runtime, file, 1 << 20)
        except NoTable as error:
            said[name] = str(error)
            continue
        said[name] = for_model(preview)
        assert bool(preview.rows) == (name != "p.parquet" or not debian)
    absent = "which the container does not have"
    assert said["w.xlsx"] == (
        "1 row × 2 columns; the line above the table: `Title`; dates count from 1904; "
        "columns: `a` (text), `b` (date)"
    )
    assert said["d.db"] == "1 row × 2 columns; columns: `a` (int), `b` (text)"
    assert said["p.parquet"].startswith("7 rows × 10 columns")
    assert (f"rows need pyarrow, {absent}" in said["p.parquet"]) == debian
    assert said["x.xls"].startswith("xlrd cannot read it")
    assert said["s.sav"].startswith(f"it needs pyreadstat, {absent}" if debian else "pyreadstat cannot read")
    assert (said["f.feather"] == f"it needs pyarrow, {absent}") == debian
