"""Custom tools over a Chat Completions model: each client runs one in two turns and gets its exact text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.clients.conftest import KEY, serving
from tests.clients.node import run_script
from tests.clients.tap import Tap
from tests.clients.upstream.threaded import Model, playing
from tests.later import Later, agents
from tests.runtime.played import Upstream

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the packages

langchain_openai = Later("langchain_openai")
messages = Later("langchain_core.messages")

INPUTS = ['SELECT "ä" FROM t;\n', "SELECT 2 \\ 1"]
GRAMMAR: Any = {"type": "grammar", "syntax": "lark", "definition": 'start: "SELECT" /(.|\\n)+/'}
QUERY: Any = {"type": "custom", "name": "query", "description": "Queries.", "format": GRAMMAR}
SAID = ["Rows of the first.", "Rows of the second."]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[str]:
    flags = ("--upstream-url", upstream.url, "--upstream-key", "sk-up", "--sandbox", "bubblewrap")
    with serving(tmp_path_factory.mktemp("custom") / "data", toolbox, *flags) as url:
        yield url


@pytest.fixture(autouse=True)
def plays(upstream: Upstream) -> Iterator[Model]:
    """A model that calls the tool once in each of two turns."""
    upstream.prepared.clear()
    model = Model(upstream, "chat")
    for text, said in zip(INPUTS, SAID, strict=True):
        model.calls(("query", {"input": text}))
        model.says(said)
    yield model
    assert upstream.prepared == []
    assert model.told() == [f"ran {text}" for text in INPUTS]
    upstream.requests.clear()


@pytest.fixture
async def client(tap: Tap) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


def test_openai_python(tap: Tap) -> None:
    said: list[str] = []
    given: list[str] = []
    previous = None
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        asked: Any = "Query it."
        while len(said) < 2:
            options: Any = {"previous_response_id": previous} if previous else {}
            with client.responses.stream(model="chat/m", input=asked, tools=[QUERY], **options) as stream:
                response = stream.get_final_response()
            (item,) = response.output
            previous, asked = response.id, "Again."
            if item.type == "custom_tool_call":
                given.append(item.input)
                output = f"ran {item.input}"
                asked = [{"type": "custom_tool_call_output", "call_id": item.call_id, "output": output}]
            else:
                said.append(response.output_text)
    assert (said, given) == (SAID, INPUTS)


async def test_openai_agents(client: AsyncOpenAI) -> None:
    given: list[str] = []

    async def execute(_: Any, text: str) -> str:
        given.append(text)
        return f"ran {text}"

    tool = agents.CustomTool(name="query", description="Queries.", on_invoke_tool=execute, format=GRAMMAR)
    model = agents.OpenAIResponsesModel(model="chat/m", openai_client=client)
    agent = agents.Agent("analyst", model=model, tools=[tool])
    config = agents.RunConfig(tracing_disabled=True)
    first = await agents.Runner.run(agent, "Query it.", run_config=config)
    again = {"previous_response_id": first.last_response_id, "run_config": config}
    second = await agents.Runner.run(agent, "Again.", **again)
    assert [first.final_output, second.final_output] == SAID
    assert given == INPUTS


def test_langchain(tap: Tap) -> None:
    chat = langchain_openai.ChatOpenAI(
        model="chat/m",
        base_url=tap.url,
        api_key=SecretStr(KEY),
        use_responses_api=True,
        max_retries=0,
        output_version="responses/v1",
    )

    def query(text: str) -> str:
        """Queries."""
        return f"ran {text}"

    tool = langchain_openai.custom_tool(format=GRAMMAR)(query)
    model = chat.bind_tools([tool])
    said: list[Any] = []
    answers: list[str] = []
    for asked in ("Query it.", "Again."):
        said.append(messages.HumanMessage(asked))
        said.append(model.invoke(said))
        (call,) = said[-1].tool_calls
        said.append(tool.invoke(call))
        said.append(model.invoke(said))
        answers.append(said[-1].text)
    assert answers == SAID


async def test_ai_sdk(node: Path, tap: Tap) -> None:
    saw = await run_script(node, "custom/custom-tools.mjs", tap.url, KEY, "chat/m")
    assert saw == {"said": SAID, "given": INPUTS}
