"""Pydantic AI: its code execution tool, with its own history and by the previous response."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.messages import NativeToolReturnPart
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.native_tools import CodeExecutionTool
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.conftest import KEY
from tests.clients.tap import Tap

OWN_HISTORY = OpenAIResponsesModelSettings(
    openai_send_reasoning_ids=True, openai_include_code_execution_outputs=True
)
"""It sends calls back only with their ids, and ids by default only to models that it knows to reason."""

PREVIOUS = OpenAIResponsesModelSettings(openai_previous_response_id="auto")


@pytest.fixture
async def agent(tap: Tap) -> AsyncIterator[Agent]:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        model = OpenAIResponsesModel("", provider=OpenAIProvider(openai_client=client))
        yield Agent(model, capabilities=[NativeTool(CodeExecutionTool())])


async def test_code_execution_with_its_own_history(agent: Agent) -> None:
    """Every item is sent back, without its outputs; the session has the variables."""
    first = await agent.run("keep the numbers", model_settings=OWN_HISTORY)
    assert first.output == "There are 6 numbers."
    (shown,) = [part for part in first.response.parts if isinstance(part, NativeToolReturnPart)]
    assert shown.content == {"status": "completed", "logs": ["kept\n6\n"]}
    history = first.all_messages()
    async with agent.run_stream(
        "sum the numbers", message_history=history, model_settings=OWN_HISTORY
    ) as second:
        assert await second.get_output() == "They add up to 208."


async def test_code_execution_by_the_previous_response(agent: Agent) -> None:
    first = await agent.run("keep the numbers", model_settings=PREVIOUS)
    history = first.all_messages()
    second = await agent.run("sum the numbers", message_history=history, model_settings=PREVIOUS)
    assert second.output == "They add up to 208."
