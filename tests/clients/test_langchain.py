"""LangChain's ChatOpenAI over the Responses API, with the shell tool passed through.

`bind_tools` knows no tool of type `shell` yet; `bind(tools=...)` hands it on as it is.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import pytest
from pydantic import SecretStr

from tests.clients.conftest import KEY
from tests.clients.tap import Tap
from tests.later import Later

langchain_openai = Later("langchain_openai")
function_calling = Later("langchain_core.utils.function_calling")
messages = Later("langchain_core.messages")
tools = Later("langchain_core.tools")

SHELL: dict[str, Any] = {"type": "shell", "environment": {"type": "container_auto"}}


@pytest.fixture
def chat(tap: Tap) -> Any:
    return langchain_openai.ChatOpenAI(
        model="",
        base_url=tap.url,
        api_key=SecretStr(KEY),
        use_responses_api=True,
        max_retries=0,
        output_version="responses/v1",
    )


def test_two_turns(chat: Any) -> None:
    model = chat.bind(tools=[SHELL])
    first = model.invoke("collect the measurements")
    assert first.text == "There are 6 numbers."
    second = model.invoke("add them up", previous_response_id=first.response_metadata["id"])
    assert second.text == "They add up to 108 mm."


def test_it_finds_the_previous_response_itself(chat: Any, tap: Tap) -> None:
    chat.use_previous_response_id = True
    model = chat.bind(tools=[SHELL])
    said: list[Any] = [messages.HumanMessage("collect the measurements")]
    said.append(model.invoke(said))
    said.append(messages.HumanMessage("add them up"))
    assert model.invoke(said).text == "They add up to 108 mm."
    assert tap.turns()[-1].json["previous_response_id"].startswith("resp_")


def test_two_turns_streamed(chat: Any) -> None:
    model = chat.bind(tools=[SHELL])
    previous: dict[str, Any] = {}
    for prompt in ("collect the measurements", "add them up"):
        first, *rest = model.stream(prompt, **previous)
        whole = reduce(operator.add, rest, first)
        previous = {"previous_response_id": whole.response_metadata["id"]}
    assert whole.text == "They add up to 108 mm."


def test_a_function_among_the_commands(chat: Any) -> None:
    @tools.tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return {"Oslo": "minus 4 degrees"}[city]

    model = chat.bind(tools=[SHELL, function_calling.convert_to_openai_tool(get_weather)])
    first = model.invoke("compare with the weather")
    assert isinstance(first, messages.AIMessage)
    (call,) = first.tool_calls
    answer = get_weather.invoke(call)
    assert isinstance(answer, messages.ToolMessage)
    second = model.invoke([answer], previous_response_id=first.response_metadata["id"])
    assert second.text == "Inside 21, outside 4."


def test_code_interpreter(chat: Any) -> None:
    model = chat.bind_tools([{"type": "code_interpreter", "container": {"type": "auto"}}])
    first = model.invoke("keep the numbers")
    assert first.text == "There are 6 numbers."
    start, *rest = model.stream("sum the numbers", previous_response_id=first.response_metadata["id"])
    assert reduce(operator.add, rest, start).text == "They add up to 208."


def test_web_search(chat: Any) -> None:
    model = chat.bind_tools([{"type": "web_search"}])
    first = model.invoke("look up the tides")
    assert first.text.startswith("They rise 14 metres")
    start, *rest = model.stream("look up the moon", previous_response_id=first.response_metadata["id"])
    assert reduce(operator.add, rest, start).text == "It is Far away ([moon](https://moon.example.org/))."


def test_file_search(chat: Any, documents: str) -> None:
    model = chat.bind_tools([{"type": "file_search", "vector_store_ids": [documents]}])
    first = model.invoke("find the coolant")
    assert first.text == "It is cooled with liquid sodium [reactor.md]."
    start, *rest = model.stream("find the wind", previous_response_id=first.response_metadata["id"])
    second = reduce(operator.add, rest, start)
    assert second.text == "Sailing needs wind [other.md]."
    assert [cited(each) for each in (first, second)] == [["reactor.md"], ["other.md"]]


def cited(message: Any) -> list[str]:
    """Return the names of the files that a message cites."""
    texts = [block for block in message.content if block["type"] == "text"]
    return [each["filename"] for text in texts for each in text["annotations"]]
