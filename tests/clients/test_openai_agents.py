"""openai-agents: the hosted shell, its function tools among the commands, hand-offs, its local shell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.clients.conftest import KEY
from tests.clients.tap import Tap
from tests.later import Later, agents

editor = Later("agents.editor")


def container() -> Any:
    return agents.ShellTool(environment={"type": "container_auto"})


def python() -> Any:
    return agents.CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}})


async def run(agent: Any, said: Any, **options: Any) -> Any:
    return await agents.Runner.run(agent, said, run_config=agents.RunConfig(tracing_disabled=True), **options)


def streaming(agent: Any, said: str, **options: Any) -> Any:
    return agents.Runner.run_streamed(
        agent, said, run_config=agents.RunConfig(tracing_disabled=True), **options
    )


@pytest.fixture
async def model(tap: Tap) -> AsyncIterator[Any]:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield agents.OpenAIResponsesModel(model="", openai_client=client)


def weather() -> Any:
    """A function tool."""

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return {"Oslo": "minus 4 degrees", "Rome": "30 degrees"}[city]

    return agents.function_tool(get_weather)


def printed(result: Any) -> list[str]:
    """What each command printed, over all responses of a run."""
    return [
        content.stdout
        for response in result.raw_responses
        for item in response.output
        if item.type == "shell_call_output"
        for content in item.output
    ]


async def test_two_turns(model: Any) -> None:
    agent = agents.Agent("analyst", model=model, tools=[container()])
    first = await run(agent, "collect the measurements")
    assert first.final_output == "There are 6 numbers."
    second = await run(agent, "add them up", previous_response_id=first.last_response_id)
    assert second.final_output == "They add up to 108 mm."
    assert printed(second) == ["/mnt/data/run\n", "sum: 108 mm\n", "42\n", "2\n"]


async def test_two_turns_on_a_web_socket(tap: Tap) -> None:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        model = agents.OpenAIResponsesWSModel(model="", openai_client=client)
        agent = agents.Agent("analyst", model=model, tools=[container(), weather()])
        first = await run(agent, "collect the measurements")
        second = await run(agent, "add them up", previous_response_id=first.last_response_id)
        assert second.final_output == "They add up to 108 mm."
        third = await run(agent, "both at once", previous_response_id=second.last_response_id)
        assert third.final_output == "Outside 30."
        await model.close()
    assert tap.turns() == []


async def test_two_turns_streamed(model: Any) -> None:
    agent = agents.Agent("analyst", model=model, tools=[container()])
    previous: str | None = None
    for prompt in ("collect the measurements", "add them up"):
        streamed = streaming(agent, prompt, previous_response_id=previous)
        kinds = [
            event.name async for event in streamed.stream_events() if event.type == "run_item_stream_event"
        ]
        assert kinds.count("tool_called") == kinds.count("tool_output") > 0
        assert kinds[-1] == "message_output_created"
        previous = streamed.last_response_id
    assert streamed.final_output == "They add up to 108 mm."


@pytest.mark.parametrize("chained", [True, False])
async def test_function_tools_among_the_commands(model: Any, chained: bool) -> None:
    agent = agents.Agent("analyst", model=model, tools=[container(), weather()])
    result = await run(agent, "both at once", auto_previous_response_id=chained, max_turns=4)
    assert result.final_output == "Outside 30."
    assert printed(result) == ["one\n", "two\n", "three\n"]


async def test_a_function_tool_between_the_commands_streamed(model: Any) -> None:
    agent = agents.Agent("analyst", model=model, tools=[container(), weather()])
    streamed = streaming(agent, "compare with the weather", auto_previous_response_id=True)
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == "Inside 21, outside 4."
    assert printed(streamed) == ["21\n", "21\n", "", "done\n"]


async def test_a_hand_off_between_two_agents(model: Any) -> None:
    librarian = agents.Agent("librarian", model=model, tools=[container()], instructions="Find books.")
    reception = agents.Agent("reception", model=model, tools=[container()], handoffs=[librarian])
    result = await run(reception, "ask the librarian", auto_previous_response_id=True)
    assert result.last_agent is librarian
    assert result.final_output == "The librarian found Moby-Dick."
    assert printed(result) == ["", "", "Moby-Dick\n"]


async def test_a_local_shell(model: Any) -> None:
    commands: list[str] = []

    def execute(request: Any) -> str:
        commands.extend(request.data.action.commands)
        return "6"

    agent = agents.Agent(
        "analyst",
        model=model,
        tools=[agents.ShellTool(executor=execute)],
        model_settings=agents.ModelSettings(store=True),
    )
    result = await run(agent, "collect the measurements", auto_previous_response_id=True)
    assert result.final_output == "There are 6 numbers."
    assert commands[0].startswith("mkdir")
    assert len(commands) == 3


@pytest.mark.parametrize("streamed", [False, True])
async def test_code_interpreter(model: Any, streamed: bool) -> None:
    agent = agents.Agent("analyst", model=model, tools=[python()])
    first = await run(agent, "keep the numbers")
    previous = first.last_response_id
    if streamed:
        running = streaming(agent, "sum the numbers", previous_response_id=previous)
        kinds = [
            event.name async for event in running.stream_events() if event.type == "run_item_stream_event"
        ]
        assert kinds.count("tool_called") == 2
        assert running.final_output == "They add up to 208."
    else:
        second = await run(agent, "sum the numbers", previous_response_id=previous)
        assert second.final_output == "They add up to 208."


async def test_code_interpreter_with_its_own_history(model: Any) -> None:
    """Every item is sent back, without its outputs, which were not asked for."""
    agent = agents.Agent("analyst", model=model, tools=[python()])
    first = await run(agent, "keep the numbers")
    again: Any = [*first.to_input_list(), {"role": "user", "content": "sum the numbers"}]
    assert (await run(agent, again)).final_output == "They add up to 208."


async def test_web_search_in_two_turns(model: Any) -> None:
    agent = agents.Agent("reader", model=model, tools=[agents.WebSearchTool()])
    first = await run(agent, "look up the tides")
    assert first.final_output.startswith("They rise 14 metres ([bay](http://127.0.0.1:")
    again: Any = [*first.to_input_list(), {"role": "user", "content": "look up the moon"}]
    second = await run(agent, again)
    assert second.final_output == "It is Far away ([moon](https://moon.example.org/))."
    (part,) = second.raw_responses[-1].output[-1].content
    assert [each.url for each in part.annotations] == ["https://moon.example.org/"]


class Editor:
    """Applies patches to files in memory, with the package's own applier."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.failed = 0

    def create_file(self, operation: Any) -> str:
        self.files[operation.path] = agents.apply_diff("", operation.diff, "create")
        return "created"

    def update_file(self, operation: Any) -> Any:
        try:
            self.files[operation.path] = agents.apply_diff(self.files[operation.path], operation.diff)
        except ValueError as error:
            self.failed += 1
            return editor.ApplyPatchResult(status="failed", output=str(error))
        return None

    def delete_file(self, operation: Any) -> None:
        del self.files[operation.path]


async def test_two_turns_of_patches_applied_by_the_client(model: Any) -> None:
    edited = Editor()
    agent = agents.Agent("editor", model=model, tools=[agents.ApplyPatchTool(editor=edited)])
    first = await run(agent, "fix the report", auto_previous_response_id=True)
    assert first.final_output == "The report is fixed."
    assert edited.files == {"report.txt": "total: 10\nunit: mm\n"}
    second = await run(agent, "clean up the report", previous_response_id=first.last_response_id)
    assert second.final_output == "The report is gone."
    assert (edited.files, edited.failed) == ({}, 1)
