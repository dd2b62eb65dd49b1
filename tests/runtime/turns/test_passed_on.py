"""Fields that a Responses upstream and a client exchange through this server, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.protocol.items import to_json
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import Turn, Upstream, items, runtime_on, turns_of

pytestmark = pytest.mark.bubblewrap

FUNCTION = {"type": "function", "name": "plot", "parameters": {"type": "object", "properties": {}}}
PROGRAM = {"type": "program", "caller_id": "call_program"}


def call(**fields: Any) -> dict[str, Any]:
    made = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "plot", "arguments": "{}"}
    return {**made, "status": "completed", **fields}


def message(words: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": words, "annotations": []}]
    made = {"type": "message", "id": f"msg_{words}", "role": "assistant", "status": "completed"}
    return {**made, "content": content, **fields}


def has(found: dict[str, Any], fields: dict[str, Any]) -> bool:
    """Whether all the fields are in it, with their values."""
    return {name: found.get(name) for name in fields} == fields


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


@pytest.mark.parametrize("in_pieces", [True, False])
@pytest.mark.parametrize(
    "fields", [{"namespace": "charts"}, {"caller": PROGRAM}, {"caller": {"type": "direct"}}, {"async": True}]
)
async def test_fields_of_a_call_travel_both_ways(
    upstream: Upstream, turn: Turn, fields: dict[str, Any], in_pieces: bool
) -> None:
    upstream.streams([call(**fields)], in_pieces=in_pieces)
    first = await turn("Plot it.", model="responses/m", tools=[FUNCTION])
    assert has(items(first)[0], fields)
    upstream.responds(message("Done"))
    output = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
    output |= {"caller": fields["caller"]} if "caller" in fields else {}
    await turn([output], model="responses/m", tools=[FUNCTION], previous_response_id=first.id)
    sent_call, sent_output = upstream.requests[-1]["input"][1:]
    assert has(sent_call, fields)
    assert sent_output.get("caller") == fields.get("caller")


async def test_phases_of_messages_travel_both_ways(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(message("Look", phase="commentary"), message("Done", phase="final_answer"))
    first = await turn("Go.", model="responses/m")
    assert [item["phase"] for item in items(first)] == ["commentary", "final_answer"]
    upstream.responds(message("Plain"))
    second = await turn("On.", model="responses/m", previous_response_id=first.id)
    assert "phase" not in items(second)[0]
    sent = [item.get("phase") for item in upstream.requests[-1]["input"]]
    assert sent == [None, "commentary", "final_answer", None]


async def test_fields_of_items_a_client_sends_go_up(upstream: Upstream, turn: Turn) -> None:
    said = {"role": "assistant", "content": "Look", "phase": "commentary"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "ok", "caller": PROGRAM}
    upstream.responds(message("Done"))
    given = [{"role": "user", "content": "Go."}, said, call(namespace="charts", caller=PROGRAM), output]
    await turn(given, model="responses/m")
    sent = upstream.requests[-1]["input"]
    assert sent[1]["phase"] == "commentary"
    assert (sent[2]["namespace"], sent[2]["caller"], sent[3]["caller"]) == ("charts", PROGRAM, PROGRAM)


FIELDS: dict[str, Any] = {
    "prompt_cache_key": "tenant-7",
    "client_metadata": {"x-codex-turn-metadata": "{}"},
    "safety_identifier": "s-1",
    "service_tier": "flex",
    "prompt_cache_options": {"ttl": "24h"},
    "prompt_cache_retention": "24h",
}


async def test_request_fields_reach_a_responses_upstream(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(message("Done"))
    response = await turn("Go.", model="responses/m", **FIELDS)
    assert has(upstream.requests[-1], FIELDS)
    shown = {name: FIELDS[name] for name in FIELDS if name != "client_metadata"}
    assert has(to_json(response), shown)


async def test_request_fields_stay_away_from_chat_servers(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Done"})
    await turn("Go.", model="chat/m", **FIELDS)
    assert not FIELDS.keys() & upstream.requests[-1].keys()


@pytest.mark.parametrize("name", ["prompt_cache_key", "client_metadata", "phase"])
async def test_refused_fields_are_left_out(upstream: Upstream, turn: Turn, name: str) -> None:
    upstream.refuses(400, f"Unknown parameter: '{name}'.", {})
    said = {"role": "assistant", "content": "Look", "phase": "commentary"}
    for _ in range(2):  # the second turn does not try again
        upstream.responds(message("Done"))
        response = await turn([{"role": "user", "content": "Go."}, said], model="responses/m", **FIELDS)
        assert response.output_text == "Done"
    assert len(upstream.requests) == 3
    for request in upstream.requests[1:]:
        assert not FIELDS.keys() & request.keys()
        assert "phase" not in request["input"][1]


PICTURE: dict[str, Any] = {
    "type": "image_generation_call",
    "id": "ig_1",
    "status": "completed",
    "result": "aGVsbG8=",
}
ASKED = [{"role": "user", "content": "Go."}, PICTURE]


async def test_items_of_other_tools_reach_a_responses_upstream(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(message("Done"))
    response = to_json(await turn(ASKED, model="responses/m"))
    assert upstream.requests[-1]["input"][1] == PICTURE
    assert "agent_kernel" not in response


async def test_items_that_an_upstream_refuses_are_named(upstream: Upstream, turn: Turn) -> None:
    upstream.refuses(400, "Invalid value: 'image_generation_call'.", {})
    notices = []
    for _ in range(2):  # the second turn does not try again
        upstream.responds(message("Done"))
        response = to_json(await turn(ASKED, model="responses/m"))
        notices += response["agent_kernel"]["notices"]
    assert [len(request["input"]) for request in upstream.requests] == [2, 1, 1]
    assert ["items" in notice for notice in notices] == [True, True]
    assert notices[1].endswith("image_generation_call.")


async def test_items_that_a_chat_model_cannot_read_are_named(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Done"})
    response = to_json(await turn(ASKED, model="chat/m"))
    (notice,) = response["agent_kernel"]["notices"]
    assert notice.endswith("image_generation_call.")
