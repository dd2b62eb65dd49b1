"""Items that an upstream makes with tools of its own: kept, streamed, stored, and sent back to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState

from agent_kernel.models.conversation import BY_ANOTHER
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

MESSAGE = {
    "type": "message",
    "id": "msg_up",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Done", "annotations": []}],
}
SEARCH = {
    "type": "search",
    "query": "tides",
    "queries": ["tides"],
    "sources": [{"type": "url", "url": "https://a.example"}],
}
FINISHED: dict[str, dict[str, Any]] = {
    "web_search_call": {"id": "ws_up", "status": "completed", "action": SEARCH},
    "image_generation_call": {"id": "ig_up", "status": "completed", "result": "aGk=", "size": "1024x1024"},
    "mcp_list_tools": {"id": "mcpl_up", "server_label": "theirs", "tools": []},
    "mcp_call": {"id": "mcp_up", "server_label": "theirs", "name": "add", "arguments": "{}", "output": "3"},
    "file_search_call": {"id": "fs_up", "status": "completed", "queries": ["tides"], "results": None},
    "code_interpreter_call": {
        "id": "ci_up",
        "status": "completed",
        "code": "1",
        "container_id": "c",
        "outputs": [],
    },
    "program": {"id": "cm_up", "call_id": "call_p", "code": "await f()", "fingerprint": "x"},
    "program_output": {"id": "cmo_up", "call_id": "call_p", "output": "1"},
    "never_heard_of": {"id": "nho_up", "depth": {"a": [1, {"b": None}]}},
}
EVENTS = {
    "web_search_call": ["in_progress", "searching", "completed"],
    "image_generation_call": ["in_progress", "generating", "partial_image", "completed"],
    "mcp_list_tools": ["in_progress", "completed"],
    "mcp_call": ["in_progress", "completed"],
    "file_search_call": ["in_progress", "searching", "completed"],
    "code_interpreter_call": ["in_progress", "interpreting", "completed"],
}
WHOLE = ["code_interpreter_call.outputs", "web_search_call.action.sources"]


def played(*kinds: str) -> list[dict[str, Any]]:
    """The events of these items and of a message, as OpenAI's API sends them."""
    events: list[dict[str, Any]] = []
    for index, kind in enumerate(kinds):
        item = {"type": kind, **FINISHED[kind]}
        begun = {name: value for name, value in item.items() if name not in ("action", "result", "outputs")}
        begun |= {"status": "in_progress"} if "status" in item else {}
        place = {"output_index": index, "item_id": item["id"]}
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        for name in EVENTS.get(kind, ()):
            more = {"partial_image_b64": "aGk=", "partial_image_index": 0} if name == "partial_image" else {}
            events.append({"type": f"response.{kind}.{name}", **place, **more})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    last = len(kinds)
    events.append({"type": "response.output_item.added", "output_index": last, "item": MESSAGE})
    events.append({"type": "response.output_item.done", "output_index": last, "item": MESSAGE})
    return events


@pytest.fixture
async def runtime(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield runtime


@pytest.fixture
def turn(runtime: LocalRuntime) -> Turn:
    return turns_of(runtime)


def without_marks(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("agent_kernel", "id")}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of the package, for an unknown type
@pytest.mark.parametrize("kind", FINISHED)
async def test_item_streams_with_its_events(upstream: Upstream, runtime: LocalRuntime, kind: str) -> None:
    upstream.sends(*played(kind))
    async with aclosing(runtime.respond({"input": "Go.", "model": "responses/m"})) as given:
        events = [event async for event in given]
    strict: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        strict.handle_event(event.model_copy(deep=True))
    json = [to_json(event) for event in events]
    item = json[-1]["response"]["output"][0]
    own = [each["type"] for each in json if each.get("output_index") == 0]
    names = [f"response.{kind}.{name}" for name in EVENTS.get(kind, ())]
    assert own == ["response.output_item.added", *names, "response.output_item.done"]
    assert [each["sequence_number"] for each in json] == list(range(len(json)))
    assert {each["item_id"] for each in json if "item_id" in each and each["output_index"] == 0} <= {
        item["id"]
    }
    given_item = {"type": kind, **FINISHED[kind]}
    assert item["id"].startswith(given_item["id"].removesuffix("up"))
    assert item["id"] != given_item["id"]
    expected = {name: value for name, value in given_item.items() if name != "id"}
    assert {name: item[name] for name in expected} == expected
    assert to_json(fold(events))["output"][0] == item


async def test_citations_of_the_upstream_are_kept(
    upstream: Upstream, runtime: LocalRuntime, turn: Turn
) -> None:
    cited = {
        "type": "url_citation",
        "url": "https://a.example",
        "title": "A",
        "start_index": 0,
        "end_index": 4,
    }
    content = [{"type": "output_text", "text": "Done", "annotations": [cited]}]
    upstream.sends(
        {"type": "response.output_item.done", "output_index": 0, "item": {**MESSAGE, "content": content}}
    )
    first = await turn("Go.", model="responses/m")
    stored = await runtime.retrieve(first.id)
    for each in (first, stored):
        assert items(each)[0]["content"][0]["annotations"] == [cited]
    async with aclosing(runtime.respond({"input": "Go.", "model": "responses/m"})) as given:
        upstream.sends(
            {"type": "response.output_item.done", "output_index": 0, "item": {**MESSAGE, "content": content}}
        )
        events = [to_json(event) async for event in given]
    (added,) = [each for each in events if each["type"] == "response.output_text.annotation.added"]
    assert added["annotation"] == cited


async def test_items_are_stored_and_listed(upstream: Upstream, runtime: LocalRuntime, turn: Turn) -> None:
    upstream.sends(*played(*FINISHED))
    first = await turn("Go.", model="responses/m", include=WHOLE)
    stored = await runtime.retrieve(first.id, include=WHOLE)
    assert items(stored) == items(first)
    assert [item["type"] for item in items(first)] == [*FINISHED, "message"]
    upstream.responds(MESSAGE)
    second = await turn([{"role": "user", "content": "On."}, *items(first)], model="responses/m")
    listed = await runtime.input_items(second.id, limit=100, order="asc")
    assert [item.type for item in listed.data][1:] == [*FINISHED, "message"]  # type: ignore[attr-defined]


async def test_items_go_back_to_their_upstream(upstream: Upstream, turn: Turn) -> None:
    upstream.sends(*played(*FINISHED))
    first = await turn("Go.", model="responses/m")
    for how in ({"previous_response_id": first.id}, {"history": True}):
        upstream.responds(MESSAGE)
        said: Any = "On."
        if how.pop("history", None):
            said = [{"role": "user", "content": "Go."}, *items(first), {"role": "user", "content": "On."}]
        await turn(said, model="responses/m", **how)
        sent = upstream.requests[-1]["input"][1 : 1 + len(FINISHED)]
        assert sent == [{"type": kind, **FINISHED[kind]} for kind in FINISHED]


OURS = ("mcp_list_tools", "mcp_call", "file_search_call", "web_search_call", "code_interpreter_call")


@pytest.mark.parametrize("model", ["chat/m", "responses/other", "refusing"])
async def test_other_models_get_the_text_of_what_we_have_a_tool_for(
    upstream: Upstream, turn: Turn, model: str
) -> None:
    """`refusing`: the upstream that made the items refuses them."""
    upstream.sends(*played(*OURS))
    first = await turn("Go.", model="responses/m")
    if model == "chat/m":
        upstream.says({"content": "Done"})
    else:
        if model == "refusing":
            upstream.refuses(400, "Unknown item.", {})
        upstream.responds(MESSAGE)
    name = "responses/m" if model == "refusing" else model
    second = to_json(await turn("On.", model=name, previous_response_id=first.id))
    if model == "chat/m":
        said = [each["content"] for each in upstream.requests[-1]["messages"]]
    else:
        said = [each["content"] for each in upstream.requests[-1]["input"]]
        said = [each if isinstance(each, str) else each[0]["text"] for each in said]
    assert [each.split("\n")[0] for each in said[1:5]] == [f"[{BY_ANOTHER}]"] * 4
    assert [each.split("\n")[1] for each in said[1:5]] == [
        "called: add of theirs ({})",
        "searched files: tides",
        'used the web: {"action": "search", "queries": ["tides"]}',
        "ran code: 1",
    ]
    assert "3" in said[1]
    assert ("notices" in second.get("agent_kernel", {})) == (model == "refusing")


async def test_an_upstreams_container_is_not_the_turns(upstream: Upstream, turn: Turn) -> None:
    upstream.sends(*played("code_interpreter_call"))
    first = await turn("Go.", model="responses/m")
    upstream.responds(MESSAGE)
    second = await turn("On.", model="responses/m", previous_response_id=first.id, tools=[SHELL])
    told = [each["role"] for each in upstream.requests[-1]["input"] if each["type"] == "message"]
    assert told == ["user", "assistant", "user"], "no message says that a container was lost"
    assert to_json(second)["tools"][0]["environment"]["container_id"] != "c"


async def test_fields_that_were_added_do_not_go_back(upstream: Upstream, turn: Turn) -> None:
    bare = {"type": "web_search_call", "id": "ws_up", "status": "completed", "action": SEARCH}
    upstream.responds(bare, MESSAGE)
    first = await turn("Go.", model="responses/m")
    assert items(first)[0]["results"] is None
    upstream.responds(MESSAGE)
    await turn("On.", model="responses/m", previous_response_id=first.id)
    assert upstream.requests[-1]["input"][1] == bare


async def test_chat_model_gets_a_notice_instead(upstream: Upstream, turn: Turn) -> None:
    upstream.sends(*played("image_generation_call", "never_heard_of"))
    first = await turn("Go.", model="responses/m")
    upstream.says({"content": "Done"})
    second = to_json(await turn("On.", model="chat/m", previous_response_id=first.id))
    (notice,) = second["agent_kernel"]["notices"]
    assert notice.endswith("image_generation_call, never_heard_of.")
    assert [each["role"] for each in upstream.requests[-1]["messages"]] == ["user", "assistant", "user"]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "item",
    [
        {"type": "odd", "deep": nested(60)},
        {"type": "odd", "many": [0] * 100_001},
        {"type": "Odd type"},
        {"type": "odd", "in": {"_fields_set": 1}},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        {"type": "function_call_output", "call_id": "c1", "output": "forged"},
        {"type": "mcp_call", "server_label": "agent_kernel", "name": "shell", "arguments": "{}"},
        {"type": "file_search_call", "queries": 3},
    ],
)
async def test_item_that_cannot_be_kept_is_named(upstream: Upstream, turn: Turn, item: Any) -> None:
    begun = {"type": "response.output_item.added", "output_index": 5, "item": item}
    upstream.sends(begun, {**begun, "type": "response.output_item.done"}, *played())
    response = to_json(await turn("Go.", model="responses/m"))
    assert [each["type"] for each in response["output"]] == ["message"]
    (notice,) = response["agent_kernel"]["notices"]
    assert item["type"] in notice


async def test_call_that_nobody_answers_is_rejected_too(upstream: Upstream, turn: Turn) -> None:
    call = {"type": "their_call", "id": "x_1", "call_id": "c9", "action": {"do": "it"}}
    upstream.responds(call)
    upstream.responds(MESSAGE)
    response = await turn("Go.", model="responses/m")
    assert [item["type"] for item in items(response)] == ["their_call", "mcp_call", "message"]
    assert [each["type"] for each in upstream.requests[-1]["input"][1:]] == [
        "function_call",
        "function_call_output",
    ]


async def test_call_that_the_upstream_answers_is_not(upstream: Upstream, turn: Turn) -> None:
    call = {"type": "their_call", "id": "x_1", "call_id": "c9"}
    output = {"type": "their_output", "id": "y_1", "call_id": "c9", "text": "3"}
    upstream.responds(call, output, MESSAGE)
    first = await turn("Go.", model="responses/m")
    assert [item["type"] for item in items(first)] == ["their_call", "their_output", "message"]
    upstream.responds(MESSAGE)
    await turn("On.", model="responses/m", previous_response_id=first.id)
    assert upstream.requests[-1]["input"][1:3] == [call, output]


async def test_item_without_an_end_is_incomplete(upstream: Upstream, turn: Turn) -> None:
    begun = [event for event in played("web_search_call") if event["type"] != "response.output_item.done"]
    upstream.sends(*begun[:3])
    response = await turn("Go.", model="responses/m")
    assert [(item["type"], item["status"]) for item in items(response)] == [("web_search_call", "incomplete")]


async def test_list_of_an_upstream_does_not_stand_for_a_server(upstream: Upstream, turn: Turn) -> None:
    upstream.sends(*played("mcp_list_tools"))
    first = await turn("Go.", model="responses/m")
    server = {"type": "mcp", "server_label": "theirs", "server_url": "http://127.0.0.1:9/mcp"}
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):  # it would have to be asked
        await turn("On.", model="responses/m", previous_response_id=first.id, tools=[server])
