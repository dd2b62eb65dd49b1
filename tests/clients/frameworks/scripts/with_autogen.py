# mypy: disable-error-code="import-not-found,misc,import-untyped"
"""AutoGen: two turns of an agent, then a graph of two agents."""

import asyncio
import json
import os

from autogen_agentchat.teams import DiGraphBuilder, GraphFlow
from autogen_ext.agents.openai import OpenAIAgent
from openai import AsyncOpenAI

SHELL = {"type": "shell", "environment": {"type": "container_auto"}}


def agent(client: AsyncOpenAI, name: str, instructions: str) -> OpenAIAgent:
    """An agent with a chain of its own."""
    return OpenAIAgent(
        name=name,
        description=name,
        client=client,
        model=os.environ["MODEL"],
        instructions=instructions,
        tools=[SHELL],
    )


async def turns(client: AsyncOpenAI) -> list[str]:
    """Two questions to one agent."""
    analyst = agent(client, "analyst", "You measure.")
    asked = [await analyst.run(task=text) for text in ("collect the measurements", "add them up")]
    return [each.messages[-1].content for each in asked]


async def agents(client: AsyncOpenAI) -> list[str]:
    """The second gets the answer of the first."""
    collector, reader = agent(client, "collector", "Collect."), agent(client, "reader", "Say what there is.")
    builder = DiGraphBuilder()
    builder.add_node(collector).add_node(reader)
    builder.add_edge(collector, reader)
    flow = GraphFlow(participants=[collector, reader], graph=builder.build())
    result = await flow.run(task="collect the measurements")
    return [each.content for each in result.messages if each.source in ("collector", "reader")]


async def main() -> None:
    async with AsyncOpenAI(max_retries=0) as client:
        print(json.dumps({"turns": await turns(client), "agents": await agents(client)}))


asyncio.run(main())
