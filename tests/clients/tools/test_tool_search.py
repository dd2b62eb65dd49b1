"""A function that the model finds first: LangChain, the AI SDK and openai (Python), in two turns each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from pydantic import SecretStr

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.clients.conftest import KEY, serving
from tests.clients.node import run_script
from tests.clients.tap import Tap
from tests.clients.upstream.threaded import Model, playing
from tests.later import Later
from tests.runtime.played import Upstream

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the packages

langchain_openai = Later("langchain_openai")
messages = Later("langchain_core.messages")

PARAMETERS = {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
    "additionalProperties": False,
}  # fmt: skip
WEATHER: Any = {
    "type": "function", "name": "get_weather", "description": "Return the weather of a city.",
    "parameters": PARAMETERS, "defer_loading": True,
}  # fmt: skip
TOOLS: Any = [{"type": "tool_search"}, WEATHER]
SAID = ["Sun.", "Sun too."]
CITIES = ["Rome", "Oslo"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[str]:
    flags = ("--upstream-url", upstream.url, "--upstream-key", "sk-up", "--sandbox", "bubblewrap")
    with serving(tmp_path_factory.mktemp("search") / "data", toolbox, *flags) as url:
        yield url


@pytest.fixture(autouse=True)
def plays(upstream: Upstream) -> Iterator[Model]:
    """A model that searches once, and calls what it has found in each of two turns."""
    upstream.prepared.clear()
    upstream.requests.clear()
    model = Model(upstream, "chat")
    model.calls(("tool_search", {"query": "weather"}))
    for city, said in zip(CITIES, SAID, strict=True):
        model.calls(("get_weather", {"city": city}))
        model.says(said)
    yield model
    assert upstream.prepared == []
    offered = [[tool["function"]["name"] for tool in each["tools"]] for each in upstream.requests]
    assert offered[0] == ["tool_search"]
    assert all("get_weather" in each for each in offered[1:])
    assert model.told() == ["You can call now: get_weather.", "sun in Rome", "sun in Oslo"]


def test_openai_python(tap: Tap) -> None:
    said: list[str] = []
    asked: Any = "Rome?"
    previous: dict[str, Any] = {}
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        while len(said) < 2:
            with client.responses.stream(model="chat/m", input=asked, tools=TOOLS, **previous) as stream:
                response = stream.get_final_response()
            previous = {"previous_response_id": response.id}
            last = response.output[-1]
            if last.type == "function_call":
                output = f"sun in {json.loads(last.arguments)['city']}"
                asked = [{"type": "function_call_output", "call_id": last.call_id, "output": output}]
            else:
                said.append(response.output_text)
                asked = "Oslo?"
    assert said == SAID


def test_langchain(tap: Tap) -> None:
    chat = langchain_openai.ChatOpenAI(
        model="chat/m", base_url=tap.url, api_key=SecretStr(KEY), use_responses_api=True, max_retries=0,
        output_version="responses/v1",
    )  # fmt: skip
    model = chat.bind_tools(TOOLS)
    history: list[Any] = []
    answers: list[str] = []
    for city in CITIES:
        history.append(messages.HumanMessage(f"{city}?"))
        history.append(model.invoke(history))
        (call,) = history[-1].tool_calls
        assert call["args"] == {"city": city}
        history.append(messages.ToolMessage(f"sun in {city}", tool_call_id=call["id"]))
        history.append(model.invoke(history))
        answers.append(history[-1].text)
    assert answers == SAID


async def test_ai_sdk(node: Path, tap: Tap) -> None:
    saw = await run_script(node, "tools/tool-search.mjs", tap.url, KEY, "chat/m")
    assert saw == {"said": SAID, "asked": CITIES}
