"""The tool `code_interpreter` in whole turns: items, events, containers, models, and a killed server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseCodeInterpreterToolCall

from agent_kernel.errors import InvalidRequest, MalformedCall
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.code_interpreter.drafts import CALL, DISPLAYED, PRINTED
from agent_kernel.tools.code_interpreter.spec import LONGEST_CODE
from agent_kernel.tools.code_interpreter.tool import CODE_INTERPRETER
from agent_kernel.tools.request import environment_of, read_tools
from tests import forked
from tests.runtime.played import Upstream, call, runtime_on
from tests.tools.accumulated import check_stream
from tests.tools.test_toy import FLAGS, SHELL, Json, Make, events_of, opened, output_of

SCRIPT = f"scripted/{Path(__file__).parent / 'cells.yaml'}"
PYTHON = {"type": "code_interpreter", "container": {"type": "auto"}}
INCLUDE: Any = ["code_interpreter_call.outputs"]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 40).decode()
SHOWN: Json = {"tools": [PYTHON], "include": INCLUDE}

ORDER = [
    "response.output_item.added",
    "response.code_interpreter_call.in_progress",
    "response.code_interpreter_call_code.delta",
    "response.code_interpreter_call_code.done",
    "response.code_interpreter_call.interpreting",
    "response.code_interpreter_call.completed",
    "response.output_item.done",
]

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def runtime(bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    return partial(opened, bubblewrap_backend, tmp_path, SCRIPT)


def logs(text: str) -> list[Json]:
    return [{"type": "logs", "logs": text}]


def calls_in(events: list[Json]) -> list[Json]:
    """Check a whole stream, and return its calls."""
    calls = []
    for item, of_item in check_stream(events):
        if item["type"] != CALL:
            continue
        assert list(dict.fromkeys(event["type"] for event in of_item)) == ORDER
        assert all(event.get("item_id", item["id"]) == item["id"] for event in of_item)
        added = of_item[0]["item"]
        assert added == {**item, "code": "", "outputs": [], "status": "in_progress"}
        assert of_item[-1]["item"] == item
        assert "".join(event.get("delta", "") for event in of_item) == item["code"]
        assert set(item) == {"id", "type", "status", "code", "container_id", "outputs"}
        assert item["id"].startswith("ci_")
        ResponseCodeInterpreterToolCall.model_validate(item)
        calls.append(item)
    return calls


async def check_shown(running: LocalRuntime, events: list[Json], call: Json) -> None:
    """The message cites the call's picture, which has no name, as the API does."""
    (cited,) = events[-1]["response"]["output"][-1]["content"][0]["annotations"]
    assert (cited["start_index"], cited["end_index"]) == (0, 0)
    assert cited["filename"] == f"{cited['file_id']}.png"
    async with aclosing(running.containers.files.content(cited["container_id"], cited["file_id"])) as chunks:
        data = b"".join([chunk async for chunk in chunks])
    assert call["outputs"][0]["url"].endswith(base64.b64encode(data).decode())


async def test_the_documented_streams(runtime: Make) -> None:
    """Text only, one call, three calls, a second turn, an exception, a picture, and a cited file."""
    async with runtime() as running:
        assert calls_in(await events_of(running, "text only", **SHOWN)) == []
        events = await events_of(running, "one call", **SHOWN)
        first = events[-1]["response"]
        (one,) = calls_in(events)
        assert (one["code"], one["outputs"]) == ("x = 6\nprint('hello')\nx * 7", logs("hello\n42\n"))
        assert first["output"][-1]["content"][0]["text"] == "It is 42."
        assert first["tools"] == [PYTHON]
        events = await events_of(running, "three calls", **SHOWN, previous_response_id=first["id"])
        three = calls_in(events)
        assert [each["outputs"] for each in three] == [[], [], logs("2\n")]
        assert {each["container_id"] for each in three} == {one["container_id"]}
        second = events[-1]["response"]["id"]
        (again,) = calls_in(await events_of(running, "go on", **SHOWN, previous_response_id=second))
        assert again["outputs"] == logs("42\n")
        (failed,) = calls_in(await events_of(running, "exception", **SHOWN, previous_response_id=second))
        (output,) = failed["outputs"]
        assert failed["status"] == "completed"
        assert output["logs"].startswith("before\nTraceback (most recent call last):\n")
        assert output["logs"].endswith("ZeroDivisionError: division by zero\n")
        events = await events_of(running, "picture", **SHOWN, previous_response_id=second)
        (drawn,) = calls_in(events)
        await check_shown(running, events, drawn)
        picture, printed = drawn["outputs"]
        assert picture["type"] == "image"
        assert picture["url"].startswith("data:image/png;base64,iVBOR")
        assert printed == {"type": "logs", "logs": "drawn\n"}
        events = await events_of(running, "write a file", **SHOWN, previous_response_id=second)
        calls_in(events)
        (cited,) = events[-1]["response"]["output"][-1]["content"][0]["annotations"]
        assert (cited["type"], cited["filename"]) == ("container_file_citation", "report.csv")
        assert cited["container_id"] == one["container_id"]


async def test_without_include_the_outputs_are_null(runtime: Make) -> None:
    async with runtime() as running:
        events = await events_of(running, "one call", tools=[PYTHON], background=True)
        response = events[-1]["response"]
        assert [event["type"] for event in events if event.get("output_index") == 0][-1] == ORDER[-1]
        assert response["output"][0]["outputs"] is None
        assert to_json(await running.retrieve(response["id"])) == response
        shown = to_json(await running.retrieve(response["id"], include=INCLUDE))
        assert shown["output"][0]["outputs"] == logs("hello\n42\n")
        async with aclosing(running.follow(response["id"], include=INCLUDE)) as followed:
            calls_in([to_json(event) async for event in followed])


async def test_outputs_of_all_kinds_come_on_request(runtime: Make) -> None:
    """The items and events of the API stay what they are; ours are added to them."""
    asks = {**PYTHON, "agent_kernel": {"outputs": True}}
    async with runtime() as running:
        plain = await events_of(running, "slow table", **SHOWN)
        events = await events_of(running, "slow table", **{**SHOWN, "tools": [asks]})
    calls_in(plain)
    kinds = [event["type"] for event in events]
    standard = [kind for kind in kinds if not kind.startswith("agent_kernel.")]
    assert standard == [event["type"] for event in plain]
    printed = [event["delta"] for event in events if event["type"] == PRINTED]
    assert "".join(printed) == "begun\n"
    before, item = (next(each for each in found[-1]["response"]["output"]) for found in (plain, events))
    assert (item["outputs"], item["code"]) == (before["outputs"], before["code"])
    assert "agent_kernel" not in before
    stream, table = item["agent_kernel"]["outputs"]
    assert stream == {"output_type": "stream", "name": "stdout", "text": "begun\n"}
    assert table["data"] == {"text/html": "<table></table>", "text/plain": "a table"}


STOPPED = f"""import base64, time
class Plot:
    def _repr_png_(self): return base64.b64decode('{PNG}')
print('begun')
display(Plot())
time.sleep(600)"""


async def test_a_stopped_call_keeps_what_it_displayed(runtime: Make) -> None:
    asks = {**PYTHON, "agent_kernel": {"outputs": True}}
    request: Json = {"model": "agent_kernel/python", "input": STOPPED, "tools": [asks], "include": INCLUDE}
    response_id = ""
    async with runtime() as running:
        async with aclosing(running.respond(request)) as events:
            async for event in events:
                response_id = event.response.id if event.type == "response.created" else response_id
                if event.type == DISPLAYED:
                    break
        response = to_json(await running.retrieve(response_id, include=INCLUDE))
    (item,) = response["output"]
    assert (response["status"], item["status"]) == ("incomplete", "incomplete")
    picture, printed = item["outputs"]
    assert picture == {"type": "image", "url": f"data:image/png;base64,{PNG}"}
    assert printed["logs"].startswith("begun\nKeyboardInterrupt\nThe command was stopped")
    kinds = [each["output_type"] for each in item["agent_kernel"]["outputs"]]
    assert kinds == ["stream", "display_data", "error", "stream"]


@pytest.mark.parametrize("wrong", [7, [], {"outputs": 1}, {"output": True}])
def test_wrong_options_are_refused(wrong: Any) -> None:
    assert str(refused({**PYTHON, "agent_kernel": wrong})).startswith("tools[0].agent_kernel")


async def test_it_shares_the_shells_container(runtime: Make) -> None:
    tools = [{"type": "shell", "environment": {"type": "container_auto"}}, PYTHON]
    async with runtime() as running:
        output = await output_of(running, "same container", tools=tools, include=INCLUDE)
        assert output[2]["container_id"] == output[0]["environment"]["container_id"]
        assert output[-1]["content"][0]["text"] == "It is 42."


async def test_an_explicit_container_keeps_its_session(runtime: Make) -> None:
    async with runtime() as running:
        container = await running.containers.create({"name": "mine"})
        named = {"type": "code_interpreter", "container": container.id}
        for said, text in (("three calls", "2\n"), ("go on", "42\n")):
            output = await output_of(running, said, tools=[named], include=INCLUDE)
            assert output[-2]["container_id"] == container.id
            assert output[-2]["outputs"] == logs(text)


async def test_uploaded_files_lie_where_openai_puts_them(runtime: Make) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"41"

    async with runtime() as running:
        file = await running.files.create(filename="number", content=content(), form={"purpose": "user_data"})
        tool = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file.id]}}
        output = await output_of(running, "three calls", tools=[tool])
        found = await running.containers.files.list(output[0]["container_id"])
    assert [each.path for each in found.data] == [f"/mnt/data/{file.id}-number"]


def refused(*tools: Json) -> str | None:
    with pytest.raises(InvalidRequest) as error:
        environment_of(read_tools(list(tools)))
    return error.value.param


def test_wrong_entries_are_refused() -> None:
    entries: list[Any] = [None, "", 7, {"type": "container_auto"}, {"type": "none"}, []]
    for wrong in entries:
        assert refused({"type": "code_interpreter", "container": wrong}) == "tools[0].container"
    assert refused({"type": "code_interpreter"}) == "tools[0].container"
    one = {"type": "code_interpreter", "container": "cntr_1"}
    other = {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_2"}}
    assert refused(one, other) == "tools[1].environment"
    sized = {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}
    differs = {"type": "shell", "environment": {"type": "container_auto", "memory_limit": "1g"}}
    assert refused(differs, sized) == "tools[1].container"
    environment = environment_of(read_tools([SHELL, sized]))
    assert environment is not None
    assert environment.params == sized["container"]


@pytest.mark.parametrize(
    "given", [[{"domain": "a.test", "name": "KEY", "value": "s3cret"}, "s3cret"], "s3cret"]
)
def test_a_response_repeats_no_secret(given: Any) -> None:
    policy = {"type": "allowlist", "allowed_domains": ["a.test"], "domain_secrets": given}
    (entry,) = read_tools([{**PYTHON, "container": {"type": "auto", "network_policy": policy}}])
    shown = json.dumps(CODE_INTERPRETER.shown(entry, "cntr_1"))
    assert "a.test" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    "arguments",
    ["[]", "{}", '{"code": 1}', '{"code": " "}', '{"code": "1", "timeout": 2}',
     json.dumps({"code": "\udcff"}), json.dumps({"code": "x" * (LONGEST_CODE + 1)})],
    ids=["list", "empty", "number", "blank", "more", "surrogate", "long"],
)  # fmt: skip
def test_calls_that_cannot_be_read(arguments: str) -> None:
    with pytest.raises(MalformedCall):
        CODE_INTERPRETER.read_arguments("c", arguments)


def test_the_code_is_streamed_as_it_is_written() -> None:
    live = CODE_INTERPRETER.live_call("c")
    text = json.dumps({"code": 'print("é\\n")'})
    shown = "".join(delta.text for piece in text for delta in live.write(piece))
    assert shown == live.done().parts[0] == 'print("é\\n")'


async def test_models_get_it_as_a_function(
    bubblewrap_backend: Backend, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.says(call(0, "code_interpreter", {"code": "6 * 7"}, "c1"), finish="tool_calls")
    upstream.says({"content": "42."})
    item = {
        "type": "function_call",
        "id": "f",
        "call_id": "c1",
        "name": "code_interpreter",
        "status": "completed",
    }
    upstream.responds({**item, "arguments": '{"code": "print(1)\\n2"}'})
    upstream.responds()
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as running:
        first = (await events_of(running, "go", **SHOWN))[-1]["response"]
        await output_of(running, "on", model="responses/m", **SHOWN, previous_response_id=first["id"])
    (offered,) = upstream.requests[0]["tools"]
    assert offered["function"]["name"] == "code_interpreter"
    assert list(offered["function"]["parameters"]["properties"]) == ["code"]
    assert upstream.requests[1]["messages"][-1]["content"] == "42\n"
    replayed = [each for each in upstream.requests[3]["input"] if each["type"] != "message"]
    assert [each["type"] for each in replayed] == ["function_call", "function_call_output"] * 2
    assert [each["output"] for each in replayed[1::2]] == ["42\n", "1\n2\n"]
    assert replayed[0]["arguments"] == '{"code": "6 * 7"}'


async def test_an_item_of_a_lost_container_is_replayed(runtime: Make) -> None:
    async with runtime() as running:
        first = (await events_of(running, "one call", **SHOWN))[-1]["response"]
        item = first["output"][0]
        await running.containers.delete(item["container_id"])
        said = {"role": "user", "content": "three calls"}
        for request in ({"input": [item, said]}, {"input": [said], "previous_response_id": first["id"]}):
            given = request.pop("input")
            output = await output_of(running, given, **SHOWN, **request)
            assert output[2]["outputs"] == logs("2\n")
            assert output[2]["container_id"] != item["container_id"]


async def test_a_policy_asks_about_the_code(runtime: Make) -> None:
    policy = Policy("allow", (Rule("ask", command="code_interpreter *"),))
    async with runtime(approval=policy) as running:
        first = (await events_of(running, "one call", **SHOWN))[-1]["response"]
        item, asked = first["output"]
        assert (item["status"], item["outputs"]) == ("incomplete", [])
        assert json.loads(asked["arguments"])["code"] == item["code"]
        answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
        ran, _ = await output_of(running, [answer], previous_response_id=first["id"], **SHOWN)
        assert (ran["code"], ran["outputs"]) == (item["code"], logs("hello\n42\n"))
    async with runtime(approval=Policy("deny")) as running:
        denied, _ = await output_of(running, "exception", **SHOWN)
        assert denied["status"] == "failed"
        assert denied["outputs"][0]["logs"].startswith("Not run: ")


async def test_a_killed_server_is_followed_by_another(own_environment: dict[str, str]) -> None:
    """The code runs on while no server does; its result is asked for, and it does not run twice."""

    async def serve() -> tuple[forked.Forked, AsyncOpenAI]:
        start = partial(forked.serve, *FLAGS, "--model", SCRIPT, environment=own_environment)
        process, url = await asyncio.to_thread(start)
        return process, AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

    async def files(client: AsyncOpenAI, container_id: str) -> dict[str, str]:
        found = client.containers.files.list(container_id, limit=100)
        return {each.path: each.id async for each in found}

    process, client = await serve()
    request: Any = {"tools": [PYTHON], "include": INCLUDE}
    events: Any = await client.responses.create(input="wait", stream=True, background=True, **request)
    response_id = container_id = ""
    async for event in events:
        response_id = response_id or event.response.id
        container_id = container_id or getattr(getattr(event, "item", None), "container_id", "")
        if event.type == "response.code_interpreter_call.interpreting":
            break
    while "/mnt/data/begun" not in await files(client, container_id):  # noqa: ASYNC110 (no event tells)
        await asyncio.sleep(0.05)
    process.kill()
    await asyncio.to_thread(process.wait)
    await events.close()
    await client.close()
    process, client = await serve()
    try:
        resumed: Any = await client.responses.retrieve(response_id, stream=True, include=INCLUDE)
        await client.containers.files.create(container_id, file=("go", b""))
        seen = [to_json(event) async for event in resumed]
        (item,) = calls_in(seen)
        assert item["outputs"] == logs("begun\n'over'\n")
        runs = (await files(client, container_id))["/mnt/data/runs"]
        content = await client.containers.files.content.retrieve(runs, container_id=container_id)
        assert content.content == b"x"
        await client.containers.delete(container_id)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        await client.close()
