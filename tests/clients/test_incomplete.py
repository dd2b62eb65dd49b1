"""A turn that ends as incomplete, in the official SDK and in openai-agents: docs/clients.md describes it.

Without the tap: the reason is an extension, which the strict types do not know.
"""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.clients.conftest import KEY
from tests.later import agents

SHELL: Any = {"type": "shell", "environment": {"type": "container_auto"}}
PROMPT = "collect the measurements"
BUDGET: Any = {"agent_kernel": {"budget": {"tool_calls": 1}}}


def check(response: Any) -> None:
    """Check that the turn was cut before its answer, and that each call has an output."""
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "agent_kernel.max_tool_calls"
    kinds = [item.type for item in response.output]
    assert kinds.count("shell_call") == kinds.count("shell_call_output") > 0
    assert response.output_text == ""


@pytest.mark.parametrize("way", ["plain", "iterated", "helper"])
def test_openai_gets_the_response_and_continues(server: str, way: str) -> None:
    asked: Any = {"input": PROMPT, "tools": [SHELL], "extra_body": BUDGET}
    with OpenAI(base_url=server, api_key=KEY, max_retries=0, timeout=60) as client:
        if way == "plain":
            response = client.responses.create(**asked)
        elif way == "iterated":
            last = list(client.responses.create(stream=True, **asked))[-1]
            assert last.type == "response.incomplete"
            response = last.response
        else:
            with client.responses.stream(model="", **asked) as stream:
                last = list(stream)[-1]
                with pytest.raises(RuntimeError, match=r"response\.completed"):
                    stream.get_final_response()
            assert last.type == "response.incomplete"
            response = last.response
        check(response)
        check(client.responses.retrieve(response.id))
        rest = client.responses.create(input="add them up", tools=[SHELL], previous_response_id=response.id)
        assert rest.status == "completed"


@pytest.mark.parametrize("streamed", [False, True])
async def test_openai_agents_raises_and_the_response_is_stored(server: str, streamed: bool) -> None:
    limited = agents.ModelSettings(extra_body=BUDGET)
    quiet = agents.RunConfig(tracing_disabled=True)
    async with AsyncOpenAI(base_url=server, api_key=KEY, max_retries=0, timeout=60) as client:
        conversation = await client.conversations.create()
        agent = agents.Agent(
            "analyst",
            model=agents.OpenAIResponsesModel(model="", openai_client=client),
            model_settings=limited,
            tools=[agents.ShellTool(environment={"type": "container_auto"})],
        )

        async def run() -> None:
            options: Any = {"run_config": quiet, "conversation_id": conversation.id}
            if not streamed:
                await agents.Runner.run(agent, PROMPT, **options)
                return
            async for _ in agents.Runner.run_streamed(agent, PROMPT, **options).stream_events():
                pass

        with pytest.raises(agents.ModelBehaviorError):
            await run()
        said = await client.conversations.items.list(conversation.id, order="asc")
        assert [item.type for item in said.data if item.type.startswith("shell")][:2] == [
            "shell_call", "shell_call_output",
        ]  # fmt: skip
