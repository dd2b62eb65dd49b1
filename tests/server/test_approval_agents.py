"""Approvals with openai-agents, which knows those of hosted MCP servers and nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from agents import Agent, HostedMCPTool, OpenAIResponsesModel, RunConfig, Runner, ShellTool
from openai import AsyncOpenAI

from tests.server.test_approval import serve  # noqa: F401 (a fixture)

pytestmark = pytest.mark.bubblewrap

QUIET = RunConfig(tracing_disabled=True)


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("approve", [True, False])
async def test_a_callback_decides(serve: Callable[[], Any], approve: bool, chained: bool) -> None:  # noqa: F811
    asked: list[Any] = []

    def decide(request: Any) -> Any:
        asked.append(json.loads(request.data.arguments)["commands"])
        return {"approve": approve, "reason": "as the test says"}

    approvals = HostedMCPTool(
        tool_config={"type": "mcp", "server_label": "agent_kernel", "server_url": "http://127.0.0.1:1"},
        on_approval_request=decide,
    )
    async with AsyncOpenAI(base_url=serve().url, api_key="x", max_retries=0) as client:
        agent = Agent(
            "careful",
            model=OpenAIResponsesModel(model="", openai_client=client),
            tools=[ShellTool(environment={"type": "container_auto"}), approvals],
        )
        result = await Runner.run(agent, "two at once", run_config=QUIET, auto_previous_response_id=chained)
    assert result.final_output == "Done."
    assert asked == [["echo first", "touch second.txt"]]
    outputs = [
        item for each in result.raw_responses for item in each.output if item.type == "shell_call_output"
    ]
    (printed, _) = outputs[0].output
    assert printed.stdout == ("first\n" if approve else "")
    assert ("as the test says" in printed.stderr) is not approve
