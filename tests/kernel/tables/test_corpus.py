"""Data files that other packages ship, uploaded and previewed. Pandas and pyarrow decide what is right."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai.types.containers import FileCreateResponse

import agent_kernel
from agent_kernel.kernel.render.files.tabular import preview_of
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.tables.caption import for_model
from agent_kernel.kernel.tables.files import text_file
from agent_kernel.kernel.tables.preview import NoTable
from agent_kernel.models.catalogue import Models
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.containers.containers import ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.store.sqlite.store import sqlite_store
from tests.conftest import Missing
from tests.environments import EnvironmentMissing
from tests.kernel.tables.corpus import packages
from tests.kernel.tables.corpus.packages import (
    DataFile,
    answers,
    data_files,
    differences,
    quick_choice,
    references,
)
from tests.kernel.tables.corpus.selection import candidates

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(900)]  # the first run installs the packages

FILES = data_files()
QUICK_FILES = quick_choice(FILES)
PACKAGES = {file.package for file in FILES}
AT_ONCE = 8
"""How many text files are uploaded and read at one time; the others start programs, one after the other."""

Previewed = Callable[[Sequence[DataFile]], Awaitable[list[str]]]


@pytest.fixture(scope="module")
def folder(missing: Missing) -> Path:
    """The folder of the installed packages."""
    try:
        return packages.install()
    except EnvironmentMissing as why:
        missing(str(why))


@pytest.fixture
async def runtime(bubblewrap_backend: BubblewrapBackend, tmp_path: Path) -> AsyncIterator[Runtime]:
    """A runtime whose uploads may have the size of any file of the corpus."""
    runtime = LocalRuntime(
        RuntimeParts(
            models=Models(upstream_url=None, upstream_key=None, default="agent_kernel/shell"),
            backend=bubblewrap_backend,
            store=sqlite_store(tmp_path),
            container_settings=ContainerOptions(upload_limit=16 << 20),
            turn_settings=TurnSettings(),
        )
    )
    yield runtime
    for container in (await runtime.containers.list(limit=100)).data:
        await runtime.containers.delete(container.id)
    await runtime.aclose()


Found = dict[str, Any]


@pytest.fixture
async def previewed(runtime: Runtime, folder: Path) -> Previewed:
    """Upload and preview files; return how they differ from what pandas reads and what the guide lists."""
    right, listed = answers(), differences()
    container = await runtime.containers.create({"name": "corpus"})

    turns = {True: asyncio.Semaphore(AT_ONCE), False: asyncio.Semaphore(1)}

    async def difference(number: int, file: DataFile) -> str | None:
        async with turns[text_file(file.path) is not None]:
            data = await asyncio.to_thread((folder / file.path).read_bytes)
            uploaded = await runtime.containers.files.create(
                container.id, path=f"{number}-{Path(file.path).name}", content=_chunks(data), size=len(data)
            )
            seen = await _found(runtime, uploaded)
        if file.path in listed:
            if listed[file.path] not in seen["caption"]:
                return f"{file.path}: the caption {seen['caption']} lacks {listed[file.path]}"
            if _same(right.get(file.path, {}), seen):
                return f"{file.path}: is read rightly, so the guide need not list it"
        elif not _same(right[file.path], seen):
            return f"{file.path}: {seen} is not {right[file.path]}"
        return None

    async def wrong(files: Sequence[DataFile]) -> list[str]:
        async with asyncio.TaskGroup() as group:
            checks = [group.create_task(difference(number, file)) for number, file in enumerate(files)]
        return [found for check in checks if (found := check.result())]

    return wrong


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _found(runtime: Runtime, file: FileCreateResponse) -> Found:
    try:
        preview = await preview_of(runtime, file, KernelSettings().max_inline)
    except NoTable as error:
        return {"caption": str(error)}
    columns = [[column.name, column.type, column.missing] for column in preview.columns]
    about = {"caption": for_model(preview), "whole": preview.whole}
    return {"rows": preview.count, "width": preview.width, "columns": columns, **about}


def _same(right: Found, found: Found) -> bool:
    """Compare; missing values that were not counted are None."""
    if "rows" not in right or not found.get("whole"):
        return False
    if any(right[key] != found[key] for key in ("rows", "width")):
        return False
    return len(right["columns"]) == len(found["columns"]) and all(
        _plain(theirs[0]) == _plain(ours[0]) and theirs[1] == ours[1] and ours[2] in (None, theirs[2])
        for theirs, ours in zip(right["columns"], found["columns"], strict=True)
    )


def _plain(name: str) -> str:
    """Return a name without spaces and without the numbers that pandas adds to equal names."""
    return re.sub(r"\s", "", re.sub(r"\.\d+$", "", name))


def test_corpus_is_chosen_by_rule(folder: Path) -> None:
    assert sorted(candidates(folder, PACKAGES)) == [file.path for file in FILES]


def test_corpus_is_large_and_awkward() -> None:
    assert len(FILES) >= 500
    assert max(Counter(file.package for file in FILES).values()) <= 40
    formats = Counter(file.format for file in FILES)
    assert len(formats) >= 18
    assert {
        ".ods",
        ".sav",
        ".zsav",
        ".sas7bdat",
        ".xpt",
        ".dta",
        ".xls",
        ".xlsx",
        ".parquet",
    } <= formats.keys()
    assert sum(file.awkward for file in FILES) >= 130


def test_guide_lists_at_most_5_percent() -> None:
    listed = differences()
    guide = " ".join(packages.GUIDE.read_text("utf-8").split())
    formats = {file.format for file in FILES}
    assert f"{len(FILES)} data files from {len(PACKAGES)} packages, in {len(formats)} formats" in guide
    assert f"{sum(file.awkward for file in FILES)} of them are text files that need options" in guide
    assert listed.keys() <= {file.path for file in FILES}
    assert all(listed.values())
    assert len(listed) <= 0.05 * len(FILES)
    assert {file.path for file in FILES if file.options is None} <= listed.keys()


def test_quick_choice_is_varied_and_has_all_that_is_awkward() -> None:
    assert len(QUICK_FILES) == len({file.path for file in QUICK_FILES}) == packages.QUICK
    assert {file.format for file in QUICK_FILES} == {file.format for file in FILES}
    assert max(Counter(file.package for file in QUICK_FILES).values()) <= 40
    listed = differences()
    special = {f.path for f in FILES if text_file(f.path) and (f.awkward or f.path in listed)}
    assert special <= {file.path for file in QUICK_FILES}
    guide = " ".join(packages.GUIDE.read_text("utf-8").split())
    assert f"Every run of the tests reads {packages.QUICK} of them, a slow test reads all" in guide


async def test_previews_of_text_equal_pandas(previewed: Previewed) -> None:
    assert await previewed([file for file in QUICK_FILES if text_file(file.path)]) == []


async def test_previews_of_each_format_equal_pandas(previewed: Previewed) -> None:
    """Each starts a program in the sandbox, so the slow test reads the others."""
    assert await previewed([file for file in QUICK_FILES if not text_file(file.path)]) == []


@pytest.mark.slow
async def test_previews_of_the_corpus_equal_pandas(previewed: Previewed) -> None:
    assert await previewed(FILES) == []


@pytest.mark.slow
def test_stored_answers_are_those_of_pandas(folder: Path) -> None:
    assert references([file for file in FILES if file.options is not None]) == answers()


def test_sas_is_read_without_pyreadstat(folder: Path) -> None:
    """An image may have pandas only."""
    program = (
        "import sys, json; sys.modules['pyreadstat'] = None\n"
        "from agent_kernel.kernel.sandbox_scripts.table import description\n"
        "for line in sys.stdin: print(json.dumps(description(line.strip()), default=str))"
    )
    files = [file for file in FILES if file.format in (".sas7bdat", ".xpt")]
    done = subprocess.run(
        [packages.PYTHON, "-c", program],
        input="\n".join(str(folder / file.path) for file in files),
        env={"PYTHONPATH": str(Path(agent_kernel.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    right = answers()
    for file, line in zip(files, done.stdout.splitlines(), strict=True):
        found = json.loads(line)
        assert _same(right[file.path], {**found, "rows": found["count"]}), (file.path, found)
        assert not [cell for row in found["rows"] for cell in row if cell.startswith("b'")]
