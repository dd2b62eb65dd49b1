"""The session with libraries that the toolbox has not: IPython, and those that draw charts.

It runs with the Python of the tests, outside a sandbox. The protocol and the capture are the same.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.tools.code_interpreter.outputs import read_outputs, text_of
from agent_kernel.tools.code_interpreter.program import command, source
from tests.conftest import Missing
from tests.kernel import lab
from tests.tools.code_interpreter.conftest import LIMIT

RunHere = Callable[[str], Coroutine[Any, Any, tuple[str, Any]]]
_LIMITS = itertools.count(LIMIT + 1)
"""The program is made once for each limit, and names the file with the names of its variables."""


@asynccontextmanager
async def session(
    folder: Path, monkeypatch: pytest.MonkeyPatch, packages: Path | None = None
) -> AsyncIterator[RunHere]:
    """Yield a function that runs a cell and returns its status and outputs."""
    monkeypatch.setattr("agent_kernel.tools.code_interpreter.program.NAMES_FILE", f"{folder}/{{}}-names")
    limit, names = next(_LIMITS), itertools.count()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command(limit)[1:], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        limit=1 << 24, env={**os.environ, "PYTHONPATH": str(packages or "")},
    )  # fmt: skip
    writer, reader = process.stdin, process.stdout
    assert writer is not None
    assert reader is not None
    writer.write(source(limit))
    assert json.loads(await reader.readline()) == {"ready": True}

    async def run(code: str) -> tuple[str, Any]:
        name = str(next(names))
        writer.write(json.dumps({"id": name, "code": code, "known": False}).encode() + b"\n")
        value = json.loads(await reader.readline())
        assert value["id"] == name
        return value["status"], read_outputs(value["outputs"], LIMIT)

    yield run
    writer.close()
    assert await process.wait() == 0


async def test_ipython_runs_the_cells_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(tmp_path, monkeypatch) as run_outputs:

        async def run(code: str) -> tuple[str, str]:
            status, outputs = await run_outputs(code)
            return status, text_of(outputs)

        assert await run("x = 20\nx + 1") == ("ok", "21\n")
        assert await run("!echo from the shell") == ("ok", "from the shell\n")
        assert await run("%who_ls") == ("ok", "['x']\n")
        shows = "from IPython.display import display\ndisplay(x)\nprint('p')"
        assert await run(shows) == ("ok", "20\np\n")
        status, logs = await run("1 / 0")
        assert (status, "ZeroDivisionError" in logs, "\x1b" in logs) == ("error", True, False)
        assert json.loads((tmp_path / "python-names").read_text()) == {"names": ["x", "display"], "more": 0}


@pytest.fixture
def chart_packages(tmp_path: Path, pips_index: str, missing: Missing) -> Path:
    """Return a folder with Altair, Plotly and what draws their charts."""
    if lab.CHROMIUM is None:
        missing("There is no Chromium, which kaleido needs. Install it with: apt-get install chromium")
    folder = tmp_path / "packages"
    words = ["altair", "vl-convert-python", "plotly", "kaleido", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *words], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_charts_are_pictures_with_their_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chart_packages: Path
) -> None:
    async with session(tmp_path, monkeypatch, chart_packages) as run:
        data = "alt.Data(values=[{'a': 1, 'b': 2}])"
        code = f"import altair as alt\nalt.Chart({data}).mark_bar().encode(x='a:Q', y='b:Q')"
        _, (chart,) = await run(code)
        (vega,) = [kind for kind in chart["data"] if kind.startswith("application/vnd.vegalite.v")]
        assert chart["data"][vega]["data"]["values"] == [{"a": 1, "b": 2}]
        assert chart["data"]["image/png"].startswith("iVBOR")
        _, (figure,) = await run("import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[3, 1])).show()")
        assert figure["data"]["application/vnd.plotly.v1+json"]["data"][0]["type"] == "bar"
        assert figure["data"]["image/png"].startswith("iVBOR")
