"""The catalogue of tools, and the `tools` and `tool_choice` of requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agent_kernel.errors import ConfigurationError, InvalidRequest, MalformedCall
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import Catalogue, catalogue
from agent_kernel.tools.client import CLIENT_FUNCTION
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.function import FunctionTool, Result
from agent_kernel.tools.shell.tool import SHELL

CHECKOUT = Path(__file__).parents[2]
FUNCTION = {"type": "function", "name": "f"}


def add_package(folder: Path, code: str, name: str = "broken-tool") -> None:
    """Lay out an installed package with one tool."""
    (folder / "broken_tool.py").write_text(code)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agent_kernel.tools]\nbroken = broken_tool:Tool\n")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path)
    catalogue.cache_clear()
    yield tmp_path
    catalogue.cache_clear()


@pytest.mark.parametrize("code", ["import no_such_module", "Tool = dict", "class Tool:\n    x = 1 / 0"])
def test_broken_entry_point_names_its_package(package: Path, code: str) -> None:
    add_package(package, code)
    with pytest.raises(ConfigurationError, match="broken-tool"):
        catalogue()


def test_two_tools_of_one_type_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'shell'"):
        Catalogue([SHELL, SHELL])


def test_built_in_tools_are_found_by_their_items() -> None:
    assert catalogue().of_call("shell_call") is catalogue().of_output("shell_call_output") is SHELL
    assert catalogue().get("function") is CLIENT_FUNCTION
    assert catalogue().of_item("message") is None


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "shell"},
        {"type": "code_interpreter"},
        {"type": "function", "name": "g"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "code_interpreter"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
        {"type": "allowed_tools", "mode": "auto", "tools": []},
        {"type": "custom", "name": "f"},
    ],
)
def test_tool_choice_of_a_missing_tool_is_refused(choice: Any) -> None:
    tools = [FUNCTION]
    with pytest.raises(InvalidRequest) as refused:
        read_request({"input": "x", "tools": tools, "tool_choice": choice})
    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize(
    "choice", [None, "auto", "none", "required", {"type": "shell"}, {"type": "function", "name": "f"}]
)
def test_tool_choice_of_an_offered_tool_is_taken(choice: Any) -> None:
    read_request({"input": "x", "tools": [FUNCTION, {"type": "shell"}], "tool_choice": choice})


@pytest.mark.parametrize("tools", [None, [], [{"type": "namespace", "name": "n", "tools": []}]])
def test_required_call_without_tools_is_refused(tools: Any) -> None:
    with pytest.raises(InvalidRequest, match="offers no tools") as refused:
        read_request({"input": "x", "tools": tools, "tool_choice": "required"})
    assert refused.value.param == "tool_choice"


def test_unknown_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"does not have the tool .*: .*\bfunction\b") as refused:
        read_request({"input": "x", "tools": [FUNCTION, {"type": "no_such_tool"}]})
    assert refused.value.param == "tools[1].type"


def test_approval_entry_of_the_agents_sdk_is_taken() -> None:
    entry = {"type": "mcp", "server_label": "agent_kernel", "server_url": "http://127.0.0.1:1"}
    assert read_request({"input": "x", "tools": [entry]}).tools == []


async def run(tool: Tool, arguments: str) -> list[Any]:
    emitted: list[Any] = []

    async def emit(piece: Any) -> None:
        emitted.append(piece)

    def ignore(*_: Any, **__: Any) -> None:
        return None

    def no_sandbox() -> Any:
        raise AssertionError("it has no sandbox")

    context = ToolContext(emit=emit, sandbox=no_sandbox, audit=ignore, count=ignore)
    await tool.run({"type": tool.call_type, "call_id": "c", "arguments": arguments}, context)
    return emitted


async def test_the_tool_in_the_contributors_guide_works() -> None:
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    match = re.search(r"```python\n(# agent_kernel/tools/clock\.py\n.*?)```", guide, re.S)
    assert match is not None
    names: dict[str, Any] = {"__name__": "clock"}
    exec(match[1], names)
    clock: Tool = names["Clock"]()
    found = Catalogue([SHELL, clock]).of_call("clock_call")
    assert found is not None
    (result,) = await run(found, "{}")
    assert re.match(r"\d{4}-\d\d-\d\d", result.text)


class Failing(FunctionTool):
    """Fails with a secret in its message."""

    type = "failing"
    description = "Fail."
    parameters: ClassVar[dict[str, Any]] = {"type": "object"}

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Any:
        raise ValueError("sk-secret")


async def test_a_failing_function_tells_the_model_no_secret() -> None:
    assert await run(Failing(), "{}") == [Result("The tool failed: ValueError.")]


class Sized(FunctionTool):
    """Has a schema with a reference, a bound and a required argument."""

    type = "sized"
    description = "Measure."
    parameters: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"width": {"$ref": "#/$defs/size"}, "unit": {"enum": ["cm", "in"]}},
        "required": ["width"],
        "additionalProperties": False,
        "$defs": {"size": {"type": "number", "minimum": 1}},
    }

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Any:
        return arguments


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{}", "'width' is a required property"),
        ('{"width": "3"}', "its argument width does not fit"),
        ('{"width": 0}', "less than the minimum"),
        ('{"width": 1, "unit": "m"}', "its argument unit does not fit"),
        ('{"width": 1, "depth": 2}', "'depth' was unexpected"),
        ('{"width": 1', "not JSON"),
        ("[1]", "not an object"),
        ('{"width": 1}{"width": 2}', "several JSON objects"),
    ],
)
def test_arguments_that_do_not_fit_the_schema(arguments: str, why: str) -> None:
    with pytest.raises(MalformedCall) as malformed:
        Sized().read_arguments("c", arguments)
    assert why in malformed.value.why


@pytest.mark.parametrize("arguments", ['{"width": 1}', '{"width": 2.5, "unit": "cm"}', '"{\\"width\\": 1}"'])
def test_arguments_that_fit_the_schema(arguments: str) -> None:
    assert Sized().read_arguments("c", arguments).parts == (arguments,)


class Remote(Sized):
    """Has a schema that is somewhere else, which is the tool's mistake."""

    type = "remote"
    parameters: ClassVar[dict[str, Any]] = {"$ref": "http://127.0.0.1:1/schema.json"}


def test_no_schema_is_fetched() -> None:
    assert Remote().read_arguments("c", '{"anything": 1}').parts == ('{"anything": 1}',)
