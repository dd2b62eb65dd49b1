"""Pydantic AI: its code execution tool, with its own history and by the previous response."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.clients.conftest import KEY
from tests.clients.tap import Tap
from tests.later import Later

pydantic_ai = Later("pydantic_ai")
capabilities = Later("pydantic_ai.capabilities")
messages = Later("pydantic_ai.messages")
models = Later("pydantic_ai.models.openai")
native_tools = Later("pydantic_ai.native_tools")
providers = Later("pydantic_ai.providers.openai")

OWN_HISTORY: Any = {"openai_send_reasoning_ids": True, "openai_include_code_execution_outputs": True}
"""It sends calls back only with their ids, and ids by default only to models that it knows to reason."""

PREVIOUS: Any = {"openai_previous_response_id": "auto"}


@pytest.fixture
async def agent(tap: Tap) -> AsyncIterator[Any]:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        provider = providers.OpenAIProvider(openai_client=client)
        tool = capabilities.NativeTool(native_tools.CodeExecutionTool())
        yield pydantic_ai.Agent(models.OpenAIResponsesModel("", provider=provider), capabilities=[tool])


async def test_code_execution_with_its_own_history(agent: Any) -> None:
    """Every item is sent back, without its outputs; the session has the variables."""
    first = await agent.run("keep the numbers", model_settings=OWN_HISTORY)
    assert first.output == "There are 6 numbers."
    (shown,) = [part for part in first.response.parts if isinstance(part, messages.NativeToolReturnPart)]
    assert shown.content == {"status": "completed", "logs": ["kept\n6\n"]}
    history = first.all_messages()
    async with agent.run_stream(
        "sum the numbers", message_history=history, model_settings=OWN_HISTORY
    ) as second:
        assert await second.get_output() == "They add up to 208."


async def test_code_execution_by_the_previous_response(agent: Any) -> None:
    first = await agent.run("keep the numbers", model_settings=PREVIOUS)
    history = first.all_messages()
    second = await agent.run("sum the numbers", message_history=history, model_settings=PREVIOUS)
    assert second.output == "They add up to 208."


async def test_shell_in_a_graph_of_two_agents(tap: Tap) -> None:
    """The shell is no tool of its own there, but a setting passes it on."""
    shell = {"type": "shell", "environment": {"type": "container_auto"}}
    settings: Any = {**PREVIOUS, "openai_native_tools": [shell]}
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        provider = providers.OpenAIProvider(openai_client=client)
        model = models.OpenAIResponsesModel("", provider=provider)
        collector = pydantic_ai.Agent(model, model_settings=settings, instructions="Collect.")
        adder = pydantic_ai.Agent(model, model_settings=settings, instructions="Add.")
        first = await collector.run("collect the measurements")
        assert first.output == "There are 6 numbers."
        second = await adder.run("add them up", message_history=first.all_messages())
        assert second.output == "They add up to 108 mm."
