# mypy: disable-error-code="import-not-found,misc,import-untyped"
"""LlamaIndex: two turns of an agent, then a workflow in which one agent hands over to another."""

import asyncio
import json
import os
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.workflow import Context
from llama_index.llms.openai import OpenAIResponses

SHELL = {"type": "shell", "environment": {"type": "container_auto"}}


def llm() -> Any:
    """A model with a chain of its own."""
    return OpenAIResponses(
        model=os.environ["MODEL"],
        api_base=os.environ["OPENAI_BASE_URL"],  # it does not look there itself
        context_window=100_000,
        built_in_tools=[SHELL],
        track_previous_responses=True,
        max_retries=0,
    )


async def turns() -> list[str]:
    """Two questions to one model."""
    model = llm()
    return [(await model.acomplete(text)).text for text in ("collect the measurements", "add them up")]


async def agents() -> list[str]:
    """The reception hands over by a function, and the librarian reads what it has written."""
    model = llm()
    reception = FunctionAgent(
        name="reception", description="Answers first.", llm=model, can_handoff_to=["librarian"], tools=[]
    )
    librarian = FunctionAgent(name="librarian", description="Finds books.", llm=model, tools=[])
    workflow = AgentWorkflow(agents=[reception, librarian], root_agent="reception")
    context = Context(workflow)
    result = await workflow.run(user_msg="ask for the librarian", ctx=context)
    return [result.current_agent_name, str(result)]


async def main() -> None:
    print(json.dumps({"turns": await turns(), "agents": await agents()}))


asyncio.run(main())
