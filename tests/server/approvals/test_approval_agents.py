"""Approvals with openai-agents, which knows those of hosted MCP servers and nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.later import agents
from tests.server.approvals.test_approval import serve  # noqa: F401 (a fixture)

pytestmark = pytest.mark.bubblewrap


async def decided(url: str, *, approve: bool, chained: bool) -> Any:
    """A run in which a callback decides; its final output and what the commands printed."""

    def decide(request: Any) -> Any:
        assert json.loads(request.data.arguments)["commands"] == ["echo first", "touch second.txt"]
        return {"approve": approve, "reason": "as the test says"}

    approvals = agents.HostedMCPTool(
        tool_config={"type": "mcp", "server_label": "agent_kernel", "server_url": "http://127.0.0.1:1"},
        on_approval_request=decide,
    )
    quiet = agents.RunConfig(tracing_disabled=True)
    async with AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
        agent = agents.Agent(
            "careful",
            model=agents.OpenAIResponsesModel(model="", openai_client=client),
            tools=[agents.ShellTool(environment={"type": "container_auto"}), approvals],
        )
        result = await agents.Runner.run(
            agent,
            "two at once",
            run_config=quiet,
            auto_previous_response_id=chained,
        )
    items = [item for response in result.raw_responses for item in response.output]
    (output,) = [item for item in items if item.type == "shell_call_output"]
    return result.final_output, output.output[0]


async def test_a_callback_decides(serve: Callable[[], Any]) -> None:  # noqa: F811
    url = serve().url
    for chained in (True, False):
        said, printed = await decided(url, approve=True, chained=chained)
        assert (said, printed.stdout) == ("Done.", "first\n")
        said, printed = await decided(url, approve=False, chained=chained)
        assert (said, printed.stdout) == ("Done.", "")
        assert printed.stderr.endswith("as the test says")
