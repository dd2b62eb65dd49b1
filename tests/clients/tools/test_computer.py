"""Clients that act on a computer of their own, in two turns, and acknowledge a safety check."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.clients.conftest import KEY, serving
from tests.clients.node import run_script
from tests.clients.tap import Tap
from tests.clients.upstream.threaded import playing
from tests.later import Later, agents
from tests.runtime.played import Upstream

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the packages

langchain_openai = Later("langchain_openai")
messages = Later("langchain_core.messages")

Json = dict[str, Any]
MODEL = "native/m"
COMPUTER: Any = {"type": "computer"}
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
PICTURE = f"data:image/png;base64,{DOT}"
ASKED = ["Send it.", "Look further down."]
SAID = ["It is sent.", "There is nothing more."]
CLICK: Json = {"type": "click", "button": "left", "x": 3, "y": 4, "keys": ["SHIFT"]}
SCROLL: Json = {"type": "scroll", "x": 5, "y": 6, "scroll_x": 0, "scroll_y": 240}
ACTIONS: list[list[Json]] = [[CLICK, {"type": "type", "text": "Grüße"}], [SCROLL, {"type": "screenshot"}]]
CHECK: Json = {"id": "cu_sc_1", "code": "malicious_instructions", "message": "Look at it."}
CHECKS: list[list[Json]] = [[CHECK], []]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[str]:
    """A server with a model that has the tool itself, as OpenAI's have."""
    entry = {"url": upstream.url, "key": "sk-up", "dialect": "responses", "shell": "native"}
    flags = ("--sandbox", "bubblewrap")
    upstreams = {"AGENT_KERNEL_UPSTREAMS": json.dumps({"native": entry})}
    with serving(tmp_path_factory.mktemp("computer") / "data", toolbox, *flags, **upstreams) as url:
        yield url


@pytest.fixture(autouse=True)
def plays(upstream: Upstream) -> Iterator[None]:
    """A model that acts once in each of two turns. It must get back what it wrote, and each picture."""
    upstream.prepared.clear()
    upstream.requests.clear()
    for number, (actions, checks, said) in enumerate(zip(ACTIONS, CHECKS, SAID, strict=True)):
        made = {"type": "computer_call", "id": f"cu_{number}", "call_id": f"call_{number}"}
        about = {"actions": actions, "pending_safety_checks": checks}
        upstream.responds({**made, "status": "completed", **about})
        text = [{"type": "output_text", "text": said, "annotations": []}]
        message = {"type": "message", "id": f"m{number}", "role": "assistant", "status": "completed"}
        upstream.responds({**message, "content": text})
    yield
    assert upstream.prepared == []
    assert all(each["tools"] == [COMPUTER] for each in upstream.requests)
    sent = upstream.requests[-1]["input"]
    calls = [each for each in sent if each["type"] == "computer_call"]
    outputs = [each for each in sent if each["type"] == "computer_call_output"]
    assert [each["actions"] for each in calls] == ACTIONS
    assert [each["pending_safety_checks"] for each in calls] == CHECKS
    assert [each["call_id"] for each in outputs] == ["call_0", "call_1"]
    assert [each["output"]["image_url"] for each in outputs] == [PICTURE] * 2
    assert [each.get("acknowledged_safety_checks") or [] for each in outputs] == CHECKS


def answer(call: Json) -> Json:
    """The item with which a client says that it has done the call's actions, checks and all."""
    output = {"type": "computer_screenshot", "image_url": PICTURE}
    checks = {"acknowledged_safety_checks": call["pending_safety_checks"]}
    return {"type": "computer_call_output", "call_id": call["call_id"], "output": output, **checks}


def test_openai_python(tap: Tap) -> None:
    said: list[str] = []
    done: list[list[Json]] = []
    asked: Any = ASKED[0]
    previous: dict[str, Any] = {}
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        while len(said) < 2:
            with client.responses.stream(model=MODEL, input=asked, tools=[COMPUTER], **previous) as stream:
                response = stream.get_final_response()
            previous = {"previous_response_id": response.id}
            (item,) = response.output
            if item.type == "computer_call":
                call: Any = item.to_dict(exclude_none=True)
                done.append(call["actions"])
                asked = [answer(call)]
            else:
                said.append(response.output_text)
                asked = ASKED[1]
    assert (said, done) == (SAID, ACTIONS)
    order = ["created", "in_progress", "output_item.added", "output_item.done", "completed"]
    assert [event["type"] for event in tap.turns()[0].events] == [f"response.{name}" for name in order]


def recorder(done: list[tuple[Any, ...]]) -> Any:
    """A computer of the Agents SDK that only writes down what it is told."""

    def method(name: str) -> Callable[..., None]:
        return lambda self, *given, **more: done.append((name, *given, *more.values()))

    names = ("click", "double_click", "scroll", "type", "wait", "move", "keypress", "drag")
    methods = {name: method(name) for name in names}
    return type("Recorder", (agents.Computer,), {**methods, "screenshot": lambda self: DOT})()


@pytest.mark.parametrize("history", ["stored", "own"])
async def test_openai_agents(client: AsyncOpenAI, history: str) -> None:
    done: list[tuple[Any, ...]] = []
    asked: list[str] = []

    async def allow(data: Any) -> bool:
        asked.append(data.safety_check.message)
        return True

    tool = agents.ComputerTool(computer=recorder(done), on_safety_check=allow)
    model = agents.OpenAIResponsesModel(model=MODEL, openai_client=client)
    agent = agents.Agent("operator", model=model, tools=[tool])
    config = agents.RunConfig(tracing_disabled=True)
    first = await agents.Runner.run(agent, ASKED[0], run_config=config)
    if history == "stored":
        more = {"previous_response_id": first.last_response_id, "run_config": config}
        second = await agents.Runner.run(agent, ASKED[1], **more)
    else:
        said: Any = [*first.to_input_list(), {"role": "user", "content": ASKED[1]}]
        second = agents.Runner.run_streamed(agent, said, run_config=config)
        async for _ in second.stream_events():
            pass
    assert [first.final_output, second.final_output] == SAID
    assert asked == ["Look at it."]
    assert done == [("click", 3, 4, "left", ["SHIFT"]), ("type", "Grüße"), ("scroll", 5, 6, 0, 240)]


@pytest.fixture
async def client(tap: Tap) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


def test_langchain(tap: Tap) -> None:
    chat = langchain_openai.ChatOpenAI(
        model=MODEL, base_url=tap.url, api_key=SecretStr(KEY), use_responses_api=True, max_retries=0,
        output_version="responses/v1",
    )  # fmt: skip
    model = chat.bind_tools([COMPUTER])
    given: list[Any] = []
    said: list[str] = []
    for asked, actions in zip(ASKED, ACTIONS, strict=True):
        given.append(messages.HumanMessage(asked))
        given.append(model.invoke(given))
        (call,) = [each for each in given[-1].content if each["type"] == "computer_call"]
        assert call["actions"] == actions
        about = {"acknowledged_safety_checks": call["pending_safety_checks"], "type": "computer_call_output"}
        given.append(messages.ToolMessage(PICTURE, tool_call_id=call["call_id"], additional_kwargs=about))
        given.append(model.invoke(given))
        said.append(given[-1].text)
    assert said == SAID


async def test_ai_sdk(node: Path, tap: Tap) -> None:
    saw = await run_script(node, "tools/computer.mjs", tap.url, KEY, MODEL, PICTURE=PICTURE)
    scroll = {"type": "scroll", "x": 5, "y": 6, "scrollX": 0, "scrollY": 240}
    assert saw == {"said": SAID, "done": [*ACTIONS[0], scroll, ACTIONS[1][1]], "acknowledged": [CHECK]}
