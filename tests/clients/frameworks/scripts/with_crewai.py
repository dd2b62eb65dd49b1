# mypy: disable-error-code="import-not-found,misc,import-untyped"
"""CrewAI: two turns of a model, then a crew of two agents."""

import json
import os
from typing import Any

from crewai import LLM, Agent, Crew, Task


def llm() -> Any:
    """A model with a chain of its own."""
    return LLM(
        model=os.environ["MODEL"],
        provider="openai",
        api="responses",
        builtin_tools=["shell"],
        auto_chain=True,
        store=True,
        max_retries=0,
    )


def turns() -> list[str]:
    """Two questions to one model."""
    model = llm()
    return [model.call(text) for text in ("collect the measurements", "add them up")]


def agents() -> list[str]:
    """A crew whose second task reads the first one's answer."""
    model = llm()
    about = {"goal": "measure", "backstory": "You measure.", "llm": model}
    collector, adder = Agent(role="collector", **about), Agent(role="adder", **about)
    first = Task(description="collect the measurements", expected_output="a count", agent=collector)
    second = Task(description="add them up", expected_output="a sum", agent=adder, context=[first])
    result = Crew(agents=[collector, adder], tasks=[first, second]).kickoff()
    return [each.raw for each in result.tasks_output]


print(json.dumps({"turns": turns(), "agents": agents()}))
