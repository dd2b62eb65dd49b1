"""CONTRIBUTING.md is true: its tool is one file and one line, and a turn runs it."""

from __future__ import annotations

import re
import tomllib
from contextlib import aclosing
from pathlib import Path

import pytest

from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.fold import fold
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools import catalogue as tools_catalogue
from agent_kernel.tools.catalogue import BUILT_IN, catalogue
from tests.test_structure import MAX_FILES, tracked

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
SCRIPT = """
turns:
  - when: What time is it?
    do:
      - tool: {type: clock}
      - say: It is {time}.
        quote: {time: '^(\\d{4}-\\d\\d-\\d\\dT.*)$'}
"""


def block(language: str, contains: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = [each for each in blocks if contains in each]
    return str(found)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's tool as the page's package, with the page's entry point."""
    package, metadata = tmp_path / "my_package", tmp_path / "my_package-1.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "clock.py").write_text(block("python", "class Clock"))
    points = tomllib.loads(block("toml", "agent_kernel.tools"))["project"]["entry-points"]
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in points["agent_kernel.tools"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[agent_kernel.tools]", *lines]))
    monkeypatch.syspath_prepend(tmp_path)
    # A checkout in which the guide was followed has a built-in tool of the same type.
    others = tuple(line for line in BUILT_IN if not line.endswith(":Clock"))
    monkeypatch.setattr(tools_catalogue, "BUILT_IN", others)
    catalogue.cache_clear()
    return tmp_path


@pytest.mark.bubblewrap
async def test_clock_tool_answers_a_turn(installed: Path, bubblewrap_backend: Backend) -> None:
    script = installed / "time.yaml"
    script.write_text(SCRIPT)
    models = Models(upstream_url=None, upstream_key=None, default=f"scripted/{script}")
    store = sqlite_store(installed / "store")
    runtime = LocalRuntime(RuntimeParts(models=models, backend=bubblewrap_backend, store=store))
    try:
        request = {"input": "What time is it?", "tools": [{"type": "clock"}]}
        async with aclosing(runtime.respond(request)) as events:
            response = fold([event async for event in events])
    finally:
        await runtime.aclose()
        catalogue.cache_clear()
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["clock_call", "clock_call_output", "message"]
    assert re.fullmatch(r"It is \d{4}-.*\+00:00\.", response.output_text)


@pytest.mark.parametrize("folder", ["tools", "kernel/render"])
def test_folder_has_room_for_one_more_file(folder: str) -> None:
    """A newcomer's file must not be the one that makes a folder too large."""
    place = Path(__file__).parents[2] / "agent_kernel" / folder
    files = [path for path in tracked() if path.parent == place and path.name != "clock.py"]
    assert 0 < len(files) < MAX_FILES


def test_built_in_line_has_the_form_of_the_others() -> None:
    line = block("text", "clock:Clock").strip()
    assert re.fullmatch(r'"agent_kernel\.tools\.[a-z_.]+:\w+",', line)
    assert all(re.fullmatch(r"agent_kernel\.tools\.[a-z_.]+:\w+", each) for each in BUILT_IN)
