"""Other people's clients use tools of MCP servers through a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from tests.clients.node import run_script
from tests.later import Later, agents
from tests.runtime.conftest import served as serving
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make, loopback
from tests.tools.mcp.served import Called, plain, served
from tests.tools.mcp.test_turns import entry

langchain_openai = Later("langchain_openai")

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


async def test_the_strict_accumulator_takes_the_stream(runtime: Make, upstream: Upstream, calc: str) -> None:
    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    upstream.says({"content": "3"})
    upstream.says(call(0, "calc__add", {"a": 3, "b": 4}, "c2"), finish="tool_calls")
    upstream.says({"content": "7"})
    async with (
        runtime(turn_settings=loopback(calc)) as running,
        serving(running, "secret") as url,
        AsyncOpenAI(base_url=url, api_key="secret", max_retries=0) as client,
    ):
        tool: Any = entry(f"{calc}/mcp")
        async with client.responses.stream(model="chat/m", input="add", tools=[tool]) as stream:
            kinds = [event.type async for event in stream]
            response = await stream.get_final_response()
        more = client.responses.stream(
            model="chat/m", input="add more", tools=[tool], previous_response_id=response.id
        )
        async with more as stream:
            second = [event.type async for event in stream]
            last = await stream.get_final_response()
    assert [item.type for item in last.output] == ["mcp_call", "message"], "it is not listed again"
    assert (last.output_text, second.count("response.mcp_call.completed")) == ("7", 1)
    listed, made, _ = response.output
    assert listed.type == "mcp_list_tools"
    assert made.type == "mcp_call"
    assert made.output == "3"
    assert response.output_text == "3"
    assert kinds.count("response.mcp_call.completed") == 1


async def test_a_server_that_cannot_be_listed_is_424(runtime: Make, upstream: Upstream) -> None:
    async with (
        served(plain(lambda _: (500, {}, b""))) as bad,
        runtime(turn_settings=loopback(bad)) as running,
        serving(running, "secret") as url,
        AsyncOpenAI(base_url=url, api_key="secret", max_retries=0) as client,
    ):
        tool: Any = entry(f"{bad}/mcp")
        with pytest.raises(APIStatusError) as caught:
            await client.responses.create(model="chat/m", input="hi", tools=[tool])
    assert caught.value.status_code == 424
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "external_connector_error"
    assert caught.value.body["param"] == "tools"


async def test_agents_sdk_approves_a_hosted_tool(
    runtime: Make, upstream: Upstream, calc: str, called: Called
) -> None:
    asked: list[str] = []

    def decide(request: Any) -> dict[str, Any]:
        asked.append(request.data.name)
        return {"approve": True}

    upstream.says(call(0, "calc__add", {"a": 1, "b": 2}), finish="tool_calls")
    upstream.says({"content": "It is 3."})
    upstream.says({"content": "Bye."})
    config = entry(f"{calc}/mcp", require_approval="always")
    async with (
        runtime(turn_settings=loopback(calc)) as running,
        serving(running, "secret") as url,
        AsyncOpenAI(base_url=url, api_key="secret", max_retries=0) as client,
    ):
        model = agents.OpenAIResponsesModel(model="chat/m", openai_client=client)
        tool = agents.HostedMCPTool(tool_config=config, on_approval_request=decide)
        agent = agents.Agent(name="a", model=model, tools=[tool])
        plain_run = agents.RunConfig(tracing_disabled=True)
        first = await agents.Runner.run(agent, "add", run_config=plain_run)
        again = [*first.to_input_list(), {"role": "user", "content": "thanks"}]
        second = await agents.Runner.run(agent, again, run_config=plain_run)
    assert (first.final_output, second.final_output) == ("It is 3.", "Bye.")
    assert (asked, called.calls, called.lists) == (["add"], [("add", (1, 2))], 0)


def two_turns(upstream: Upstream) -> None:
    """A model that uses a tool in each of two turns."""
    for number, result in enumerate(("It is 3.", "It is 7.")):
        numbers = {"a": 1 + 2 * number, "b": 2 + 2 * number}
        upstream.says(call(0, "calc__add", numbers, f"c{number}"), finish="tool_calls")
        upstream.says({"content": result})


async def test_langchain_uses_a_server_in_two_turns(
    runtime: Make, upstream: Upstream, calc: str, called: Called
) -> None:
    two_turns(upstream)
    async with runtime(turn_settings=loopback(calc)) as running, serving(running, "secret") as url:
        chat = langchain_openai.ChatOpenAI(
            model="chat/m", base_url=url, api_key="secret", use_responses_api=True, max_retries=0
        )
        model = chat.bind_tools([entry(f"{calc}/mcp")])
        first = await model.ainvoke("add")
        earlier = first.response_metadata["id"]
        second = await model.ainvoke("add more", previous_response_id=earlier)
    assert (first.text, second.text) == ("It is 3.", "It is 7.")
    assert called.calls == [("add", (1, 2)), ("add", (3, 4))]


async def test_the_ai_sdk_uses_a_server_in_two_turns(
    runtime: Make, upstream: Upstream, calc: str, called: Called, node: Path
) -> None:
    two_turns(upstream)
    async with runtime(turn_settings=loopback(calc)) as running, serving(running, "secret") as url:
        saw = await run_script(node, "ai-sdk-mcp.mjs", url, "secret", "chat/m", MCP_URL=f"{calc}/mcp")
    assert saw == {"said": ["It is 3.", "It is 7."], "outputs": ["3", "7"]}
    assert called.calls == [("add", (1, 2)), ("add", (3, 4))]
