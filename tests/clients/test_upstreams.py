"""A model behind a LiteLLM proxy, over both dialects: an upstream that we did not write."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionShellToolParam, FunctionToolParam, Response, ToolParam

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.clients.conftest import KEY, serving
from tests.clients.tap import Tap
from tests.clients.upstream import proxy
from tests.conftest import Missing
from tests.environments import EnvironmentMissing

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.unsplit("proxy"),  # it takes long to start
    pytest.mark.timeout(600),  # the first run installs it
]

SHELL: FunctionShellToolParam = {"type": "shell", "environment": {"type": "container_auto"}}
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def upstream(missing: Missing) -> Iterator[str]:
    """The proxy's base URL."""
    try:
        program = proxy.install()
    except EnvironmentMissing as why:
        missing(str(why))
    with proxy.running(program) as url:
        yield url


@pytest.fixture(scope="module")
def server(upstream: str, tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[str]:
    """A server over that upstream."""
    flags = ("--upstream-url", upstream, "--upstream-key", proxy.KEY, "--sandbox", "bubblewrap")
    with serving(tmp_path_factory.mktemp("upstream") / "data", toolbox, *flags) as url:
        yield url


@pytest.fixture
def client(tap: Tap) -> Iterator[OpenAI]:
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(params=["chat", "responses"])
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/played"


def printed(response: Response) -> list[str]:
    """What each command printed."""
    return [
        each.stdout for item in response.output if item.type == "shell_call_output" for each in item.output
    ]


def test_two_turns(client: OpenAI, model: str) -> None:
    first = client.responses.create(model=model, input="collect the measurements", tools=[SHELL])
    assert printed(first) == ["", "", "", "4 8\n"]
    kinds = [item.type for item in first.output]
    calls = ["shell_call", "shell_call_output"]
    assert kinds == ["message", *calls, "message", *calls, "message"]
    assert '"stderr": "ä\\n"' in first.output_text
    assert first.usage is not None
    assert (first.usage.input_tokens, first.usage.output_tokens) == (21, 15)  # three calls of the model

    with client.responses.stream(
        model=model, input="add them up", tools=[SHELL], previous_response_id=first.id
    ) as stream:
        second = stream.get_final_response()
    assert printed(second) == ["/mnt/data/run\n", "12 mm\n", "numbers.txt\n"]
    # user, said with call, result, said with call, result, answer; user, call, result, call, result
    assert "11 messages" in second.output_text


def test_a_function_beside_the_commands(client: OpenAI, model: str) -> None:
    tools: list[ToolParam] = [SHELL, WEATHER]
    with client.responses.stream(model=model, input="compare with the weather", tools=tools) as stream:
        first = stream.get_final_response()
    assert printed(first) == ["inside 21\n"]
    (call,) = (item for item in first.output if item.type == "function_call")
    assert call.arguments == '{"city": "Oslo"}'
    second = client.responses.create(
        model=model,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "minus 4 degrees"}],
        tools=tools,
        previous_response_id=first.id,
    )
    assert "inside 21" in second.output_text
    assert "minus 4 degrees" in second.output_text


def test_an_upstream_that_fails(client: OpenAI, model: str) -> None:
    failed = client.responses.create(model=model, input="fail", tools=[SHELL])
    assert failed.status == "failed"
    assert failed.error is not None
    with pytest.raises(openai.APIError):
        list(client.responses.create(model=model, input="fail", stream=True))


def test_an_upstream_that_breaks_off(client: OpenAI, model: str) -> None:
    failed = client.responses.create(model=model, input="break off", tools=[SHELL])
    assert failed.status == "failed"
    assert failed.output[0].type == "message"
    assert [each for each in printed(failed) if each] == []
    again = client.responses.create(
        model=model, input="add them up", tools=[SHELL], previous_response_id=failed.id
    )
    assert again.status == "completed"
    assert printed(again)[-1] == ""  # half a command was never run: there is no file


def test_a_model_that_the_upstream_does_not_have(client: OpenAI, model: str) -> None:
    failed = client.responses.create(model=model.replace("played", "nobody"), input="hello")
    assert failed.error is not None
    assert "nobody" in failed.error.message
