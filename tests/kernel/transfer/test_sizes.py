"""Uploads and downloads of files whose sizes are at the boundaries of the buffers on the way."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.kernel.client import Notebook

pytestmark = pytest.mark.bubblewrap

BOUNDARIES = (0, 8, 4096, 8192, 65536, 131072, 262144, 1 << 20)
SIZES = sorted({max(0, at + off) for at in BOUNDARIES for off in (-1, 0, 1)})


def round_trip(notebook: Notebook, sizes: list[int]) -> None:
    """Upload a file of each size, download all, and compare every byte."""
    source = notebook.folder / "sizes"
    source.mkdir()
    for size in sizes:
        (source / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))
    assert notebook.run("%upload sizes").reply["status"] == "ok"
    listed = notebook.run("!cd sizes && stat -c '%s %n' *.bin").plain
    lines = "\n".join(listed).splitlines()
    for size in sizes:
        assert f"{size} {size}.bin" in lines
    assert notebook.run("%download sizes back/").reply["status"] == "ok"
    for size in sizes:
        assert (notebook.folder / "back" / f"{size}.bin").read_bytes() == (
            source / f"{size}.bin"
        ).read_bytes()


def test_every_boundary_size_survives_a_round_trip(fresh: Notebook) -> None:
    round_trip(fresh, SIZES)


def test_download_of_a_small_written_file(fresh: Notebook) -> None:
    fresh.run("!printf 'a,b\\n1,2\\n' > small.csv")
    assert fresh.run("%download small.csv").reply["status"] == "ok"
    assert (fresh.folder / "small.csv").read_bytes() == b"a,b\n1,2\n"


@pytest.mark.docker
@pytest.mark.slow
def test_boundary_sizes_survive_on_docker(start: Callable[..., Notebook]) -> None:
    round_trip(start("agent-docker"), SIZES)
