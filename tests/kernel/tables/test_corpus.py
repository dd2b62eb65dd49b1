"""Data files that other packages ship, uploaded and previewed. Pandas and pyarrow decide what is right."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai.types.containers import FileCreateResponse

from agent_kernel.kernel.render.files.tabular import preview_of
from agent_kernel.kernel.settings import KernelSettings
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
from tests.kernel.tables.corpus import packages
from tests.kernel.tables.corpus.packages import DataFile, data_files, references

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(900)]  # the first run installs the packages

FILES = data_files()
SUFFIXES_OF_TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".json")


@pytest.fixture(scope="module")
def folder(missing: Missing) -> Path:
    """The folder of the installed packages."""
    try:
        return packages.install()
    except packages.CorpusMissing as why:
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


async def differences(runtime: Runtime, folder: Path, files: Sequence[DataFile]) -> list[str]:
    """Upload and preview the files; return how they differ from what pandas reads."""
    container = await runtime.containers.create({"name": "corpus"})
    wrong = []
    for number, (file, right) in enumerate(zip(files, references(files), strict=True)):
        assert "error" not in right, (file, right)
        name = f"{number}-{Path(file.path).name}"
        data = await asyncio.to_thread((folder / file.path).read_bytes)
        uploaded = await runtime.containers.files.create(
            container.id, path=name, content=_chunks(data), size=len(data)
        )
        found = await _found(runtime, uploaded)
        if not _same(right, found):
            wrong.append(f"{file.path}: {found} is not {right}")
    return wrong


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _found(runtime: Runtime, file: FileCreateResponse) -> dict[str, Any]:
    try:
        preview = await preview_of(runtime, file, KernelSettings().max_inline)
    except NoTable as error:
        return {"reason": str(error)}
    columns = [[column.name, column.type, column.missing] for column in preview.columns]
    return {"rows": preview.count, "width": preview.width, "columns": columns, "whole": preview.whole}


def _same(right: dict[str, Any], found: dict[str, Any]) -> bool:
    """Compare; pandas numbers equal names, and our missing values are None where they were not counted."""
    if "reason" in found or not found["whole"]:
        return False
    if (right["rows"], right["width"], len(right["columns"])) != (
        found["rows"],
        found["width"],
        len(found["columns"]),
    ):
        return False
    return all(
        re.sub(r"\.\d+$", "", theirs[0].strip()) == re.sub(r"\.\d+$", "", ours[0].strip())
        and theirs[1] == ours[1]
        and ours[2] in (None, theirs[2])
        for theirs, ours in zip(right["columns"], found["columns"], strict=True)
    )


def sample() -> list[DataFile]:
    """Return 40 files: all formats, most of them text, which is quick to read."""
    chosen = random.Random(20)
    quick = [file for file in FILES if file.format in SUFFIXES_OF_TEXT]
    others = {file.format: file for file in FILES if file.format not in SUFFIXES_OF_TEXT}
    return [*others.values(), *chosen.sample(quick, 40 - len(others))]


def test_corpus_is_large_and_awkward() -> None:
    assert len(FILES) >= 300
    assert max(Counter(file.package for file in FILES).values()) <= 40
    assert len({file.format for file in FILES}) >= 8
    assert sum(file.awkward for file in FILES) >= 80


async def test_previews_of_a_sample_equal_pandas(runtime: Runtime, folder: Path) -> None:
    assert await differences(runtime, folder, sample()) == []


@pytest.mark.slow
async def test_previews_of_the_corpus_equal_pandas(runtime: Runtime, folder: Path) -> None:
    assert await differences(runtime, folder, FILES) == []
