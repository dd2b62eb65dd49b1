"""Codex CLI over models of both dialects: it edits a file, runs its tests and finishes.

The model's server gets functions only. Codex gets its own tools back: custom ones with their exact text,
those of namespaces by their own names.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.clients.codex import many_tools
from tests.clients.codex.cli import CATALOG, CONFIG, codex, done
from tests.clients.conftest import serving
from tests.clients.tap import Tap
from tests.clients.upstream.threaded import Model, playing
from tests.runtime.played import Upstream

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the packages

WRONG = 'def area(width, height):\n\t"""Größe: the "area" \\\\ of it."""\n\treturn width + height  \n'
RIGHT = WRONG.replace("width + height  ", "width * height  ")
RUN = f"{sys.executable} -B check.py"
"""Python takes compiled code for that of a file edited in the same second to the same size."""
CHECK = "from shape import area\n\nassert area(4, 8) == 32\nprint('32 is right')\n"
PATCH = """*** Begin Patch
*** Update File: shape.py
@@ def area(width, height):
 \t\"""Größe: the "area" \\\\ of it.\"""
-\treturn width + height\x20\x20
+\treturn width * height\x20\x20
*** End Patch
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[str]:
    flags = ("--upstream-url", upstream.url, "--upstream-key", "sk-up", "--sandbox", "bubblewrap")
    with serving(tmp_path_factory.mktemp("codex") / "data", toolbox, *flags) as url:
        yield url


@pytest.fixture(params=["chat", "responses"])
def model(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Model]:
    upstream.prepared.clear()
    upstream.requests.clear()
    yield Model(upstream, request.param)
    assert upstream.prepared == []


def prepare(home: Path, url: str, name: str, more: str = "") -> Path:
    """Write Codex's configuration and a project with a wrong function; return the project.

    A model named `local` is described in Codex's catalogue, as docs/clients.md says.
    """
    work = home / "work"
    work.mkdir()
    (home / "codex").mkdir()
    catalog = home / "codex" / "models.json"
    catalog.write_text(CATALOG.replace("chat/local", name))
    config = CONFIG.format(model=name, url=url, socket="false")
    known = f'model_catalog_json = "{catalog}"\n' if name.endswith("/local") else ""
    (home / "codex" / "config.toml").write_text(known + config + more)
    (work / "shape.py").write_text(WRONG)
    (work / "check.py").write_text(CHECK)
    return work


def calls(tap: Tap) -> list[tuple[str, str | None, str]]:
    """Type, namespace and name of each call that Codex was sent."""
    events = [event for turn in tap.turns() for event in turn.events]
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    made = [item for item in items if item["type"].endswith("_call")]
    return [(item["type"], item.get("namespace"), item["name"]) for item in made]


async def test_edits_a_file_and_runs_its_tests(node: Path, tap: Tap, model: Model, tmp_path: Path) -> None:
    work = prepare(tmp_path, tap.url, f"{model.dialect}/local")
    model.calls(("exec_command", {"cmd": RUN}))
    model.calls(("apply_patch", {"input": PATCH}))
    model.calls(("exec_command", {"cmd": RUN}))
    model.says("The area is right now.")
    events = await codex(node, tmp_path, "Make the check pass.")
    assert (work / "shape.py").read_text() == RIGHT
    assert [each["exit_code"] for each in done(events, "command_execution")] == [1, 0]
    assert done(events, "agent_message")[-1]["text"] == "The area is right now."
    assert events[-1]["type"] == "turn.completed"

    command = ("function_call", None, "exec_command")
    assert calls(tap) == [command, ("custom_tool_call", None, "apply_patch"), command]
    (said,) = (each["description"] for each in model.offered() if each["name"] == "apply_patch")
    assert 'begin_patch: "*** Begin Patch" LF' in said
    assert json.loads(model.called()[1][1]) == {"input": PATCH}
    assert "32 is right" in model.told()[2]


async def test_tools_in_the_conversation_are_called(
    node: Path, tap: Tap, model: Model, tmp_path: Path
) -> None:
    """For its newest models Codex sends its tools as an item, most inside one that runs code."""
    work = prepare(tmp_path, tap.url, f"{model.dialect}/gpt-6.2-sol")
    patch = f"text(await tools.apply_patch({json.dumps(PATCH)}));\n"
    run = f"const shown = await tools.exec_command({{cmd: {json.dumps(RUN)}}});\ntext(shown.output);\n"
    model.calls(("functions__exec", {"input": patch}))
    model.calls(("functions__exec", {"input": run}))
    model.says("The area is right now.")
    events = await codex(node, tmp_path, "Make the check pass.")
    assert (work / "shape.py").read_text() == RIGHT
    assert done(events, "agent_message")[-1]["text"] == "The area is right now."
    assert events[-1]["type"] == "turn.completed"

    (first, *_) = tap.turns()
    assert "tools" not in first.json
    assert first.json["input"][0]["type"] == "additional_tools"
    assert calls(tap) == [("custom_tool_call", "functions", "exec")] * 2
    assert [json.loads(arguments) for _, arguments in model.called()] == [{"input": patch}, {"input": run}]
    assert "32 is right" in model.told()[1]


@pytest.mark.shown_on("chat")
async def test_forty_tools_in_a_namespace(
    node: Path, tap: Tap, upstream: Upstream, model: Model, tmp_path: Path
) -> None:
    """Each has a name that the model's server accepts, and is called by the name that Codex knows."""
    program = f'command = "{sys.executable}"\nargs = ["{many_tools.__file__}"]\n'
    wait = "required = true\nstartup_timeout_sec = 60\n"  # otherwise the first request may go without them
    prepare(tmp_path, tap.url, f"{model.dialect}/local", f"[mcp_servers.warehouse]\n{program}{wait}")
    long = "mcp__warehouse__count_the_items_of_one_kind_in_every_wa_0d13011c"
    model.calls((long, {"item": "screws"}), ("mcp__warehouse__stock_level", {"item": "nuts"}))
    model.says("Seven of each.")
    events = await codex(node, tmp_path, "How many screws and nuts are there?")
    assert done(events, "agent_message")[-1]["text"] == "Seven of each."

    names = [each["name"] for each in model.offered()]
    assert len({name for name in names if name.startswith("mcp__warehouse__")}) == len(many_tools.NAMES) == 40
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)
    assert calls(tap) == [
        ("function_call", "mcp__warehouse", many_tools.LONG),
        ("function_call", "mcp__warehouse", "stock_level"),
    ]
    assert [name for name, _ in model.called()] == [long, "mcp__warehouse__stock_level"]
    said = [each["result"]["content"][0]["text"] for each in done(events, "mcp_tool_call")]
    assert sorted(said) == [f"{many_tools.LONG} of screws: 7", "stock.level of nuts: 7"]
