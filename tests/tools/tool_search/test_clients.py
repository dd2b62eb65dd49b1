"""The Agents SDK finds deferred functions through a real server, and runs them."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.later import agents
from tests.runtime.conftest import served as serving
from tests.runtime.played import Upstream, call
from tests.tools.mcp.conftest import Make

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]


async def test_agents_sdk_searches_in_two_turns(runtime: Make, upstream: Upstream) -> None:
    def get_weather(city: str) -> str:
        """Return the weather of a city."""
        return f"sun in {city}"

    upstream.says(call(0, "tool_search", {"query": "weather"}, "s"), finish="tool_calls")
    upstream.says(call(0, "get_weather", {"city": "Rome"}, "a"), finish="tool_calls")
    upstream.says({"content": "Sun."})
    upstream.says(call(0, "get_weather", {"city": "Oslo"}, "b"), finish="tool_calls")
    upstream.says({"content": "Sun too."})
    plain: Any = agents.RunConfig(tracing_disabled=True)
    async with (
        runtime() as running,
        serving(running, "secret") as url,
        AsyncOpenAI(base_url=url, api_key="secret", max_retries=0) as client,
    ):
        model = agents.OpenAIResponsesModel(model="chat/m", openai_client=client)
        deferred = agents.function_tool(get_weather, defer_loading=True)
        agent = agents.Agent(name="a", model=model, tools=[agents.ToolSearchTool(), deferred])
        first = await agents.Runner.run(agent, "Rome?", run_config=plain)
        again = [*first.to_input_list(), {"role": "user", "content": "Oslo?"}]
        second = await agents.Runner.run(agent, again, run_config=plain)
    assert (first.final_output, second.final_output) == ("Sun.", "Sun too.")
    kinds = [item.type for item in first.new_items]
    assert kinds[:2] == ["tool_search_call_item", "tool_search_output_item"]
    results = [m["content"] for m in upstream.requests[-1]["messages"] if m["role"] == "tool"]
    assert results == ["You can call now: get_weather.", "sun in Rome", "sun in Oslo"]
    assert [tool["function"]["name"] for tool in upstream.requests[0]["tools"]] == ["tool_search"]
