# mypy: disable-error-code="import-not-found,misc,import-untyped"
"""LangGraph: two turns in a thread, then a graph of two agents in one container."""

import json
import os
from typing import Any

from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
chat = ChatOpenAI(
    model=os.environ["MODEL"],
    use_responses_api=True,
    output_version="responses/v1",
    use_previous_response_id=True,
    max_retries=0,
).bind(tools=[SHELL])


def says(prompt: str) -> Any:
    """A node that asks the model."""
    return lambda state: {"messages": [asked := ("user", prompt), chat.invoke([*state["messages"], asked])]}


def turns() -> list[str]:
    """One node, called twice; the thread keeps the messages."""
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_edge(START, "agent")
    graph = builder.compile(checkpointer=MemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    asked = [graph.invoke({"messages": [("user", text)]}, thread) for text in TURNS]
    return [each["messages"][-1].text for each in asked]


def agents() -> list[str]:
    """Two nodes in a row."""
    builder = StateGraph(MessagesState)
    builder.add_node("collector", says(TURNS[0]))
    builder.add_node("adder", says(TURNS[1]))
    builder.add_edge(START, "collector")
    builder.add_edge("collector", "adder")
    builder.add_edge("adder", END)
    graph = builder.compile()
    return [each.text for each in graph.invoke({"messages": []})["messages"] if each.type == "ai"]


TURNS = ("collect the measurements", "add them up")
print(json.dumps({"turns": turns(), "agents": agents()}))
