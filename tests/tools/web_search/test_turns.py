"""Searches and opened pages in whole turns."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from tests.runtime.conftest import served as serving
from tests.runtime.played import Upstream, call
from tests.tools.web_search.conftest import Make, access
from tests.tools.web_search.served import Web

Json = dict[str, Any]

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]

TOOL: Json = {"type": "web_search"}
SHOWN = ["web_search_call.action.sources", "web_search_call.results"]


async def events_of(runtime: LocalRuntime, said: Any, *tools: Json, **request: Any) -> list[Json]:
    async with aclosing(runtime.respond({"input": said, "tools": list(tools), **request})) as events:
        found = [event async for event in events]
    assert to_json(fold(found)) == to_json(found[-1])["response"]
    return [to_json(event) for event in found]


def kinds(events: list[Json], index: int) -> list[str]:
    found = [each["type"] for each in events if each.get("output_index") == index]
    return [each.removeprefix("response.") for each in found]


def outputs(events: list[Json]) -> list[Json]:
    found: list[Json] = events[-1]["response"]["output"]
    return found


def told(upstream: Upstream) -> str:
    """What the model read last as the output of a call."""
    return str(next(m["content"] for m in reversed(upstream.requests[-1]["messages"]) if m["role"] == "tool"))


def asks(upstream: Upstream, **arguments: Any) -> None:
    call_id = f"call_{len(upstream.prepared)}"
    upstream.says(call(0, "web_search", arguments, call_id), finish="tool_calls")


async def test_a_search_has_the_order_and_fields_of_the_api(
    runtime: Make, upstream: Upstream, web: Web
) -> None:
    asks(upstream, action="search", queries=["tides", "bay tides"])
    link = f"([127.0.0.1]({web.url}/tides))"
    upstream.says({"content": f"14 metres {link}. Not [here](https://other.example/)."})
    async with runtime(turn_settings=access(web)) as running:
        events = await events_of(running, "How high?", TOOL, include=SHOWN)
    order = ["output_item.added", "web_search_call.in_progress", "web_search_call.searching",
             "web_search_call.completed", "output_item.done"]  # fmt: skip
    assert kinds(events, 0) == order
    added = next(each["item"] for each in events if each["type"] == "response.output_item.added")
    made, message = outputs(events)
    assert added == {"id": made["id"], "type": "web_search_call", "status": "in_progress"}
    assert made["id"].startswith("ws_")
    urls = [f"{web.url}/tides", "https://moon.example.org/"]
    assert made["action"] == {
        "type": "search",
        "query": "tides",
        "queries": ["tides", "bay tides"],
        "sources": [{"type": "url", "url": url} for url in urls],
    }
    assert [each["url"] for each in made["results"]] == urls
    assert set(made) == {"id", "type", "status", "action", "results"}
    (part,) = message["content"]
    (cited,) = part["annotations"]
    start = part["text"].index(link)
    assert cited == {
        "type": "url_citation", "url": urls[0], "title": "Tides of the bay",
        "start_index": start, "end_index": start + len(link),
    }  # fmt: skip
    assert "14 metres" in told(upstream)
    (echo,) = events[-1]["response"]["tools"]
    assert echo == {**TOOL, "filters": None, "search_context_size": "medium", "user_location": None}
    assert [path for path, _, _ in web.asked] == ["/search", "/search"]


async def test_pages_are_opened_and_texts_found_in_them(runtime: Make, upstream: Upstream, web: Web) -> None:
    page = f"{web.url}/tides"
    asks(upstream, action="open_page", url=page)
    asks(upstream, action="find_in_page", url=page, pattern="Mud Flats")
    asks(upstream, action="open_page", url=f"{web.url}/report.pdf")
    upstream.says({"content": "Done."})
    async with runtime(turn_settings=access(web)) as running:
        events = await events_of(running, "Read it.", TOOL, include=SHOWN)
    opened, found, pdf, _ = outputs(events)
    assert opened["action"] == {"type": "open_page", "url": page}
    assert found["action"] == {"type": "find_in_page", "url": page, "pattern": "Mud Flats"}
    assert "completed" in kinds(events, 0)[3]
    (result,) = opened["results"]
    assert result["title"] == "Tides of the bay"
    assert f"[the moon]({web.url}/moon)" in result["text"]
    assert "injected" not in result["text"]
    assert "White" not in result["text"]
    assert result["hidden"] > 50
    assert "The mud flats are wide" in found["results"][0]["text"]
    assert pdf["results"][0]["text"].strip() == "[page 1]\nThe harbour is 9 metres deep"
    results = [m["content"] for m in upstream.requests[-1]["messages"] if m["role"] == "tool"]
    assert "does not see were left out" in results[0]
    assert all("from outside this conversation" in each for each in results)


async def test_sources_and_results_are_hidden_without_include(
    runtime: Make, upstream: Upstream, web: Web
) -> None:
    asks(upstream, action="search", queries=["tides"])
    upstream.says({"content": "14."})
    upstream.says({"content": f"As said: [tides]({web.url}/tides/#top)"})
    async with runtime(turn_settings=access(web)) as running:
        first = await events_of(running, "How high?", TOOL)
        (made, said) = outputs(first)
        assert made["results"] is None
        assert made["action"]["sources"] is None
        resent = [made, said, {"role": "user", "content": "Where?"}]
        second = await events_of(running, resent, TOOL)  # it is cited from what the store has
    assert [each["type"] for each in outputs(second)[0]["content"][0]["annotations"]] == ["url_citation"]
    assert "14 metres" in told(upstream)


async def test_filters_hold_for_results_and_pages(runtime: Make, upstream: Upstream, web: Web) -> None:
    asks(upstream, action="search", queries=["tides"])
    asks(upstream, action="open_page", url=f"{web.url}/moon")
    upstream.says({"content": "Done."})
    tool = {**TOOL, "filters": {"allowed_domains": ["example.org"]}, "user_location": {"city": "Oslo"}}
    async with runtime(turn_settings=access(web)) as running:
        events = await events_of(running, "Read.", tool, include=SHOWN)
    search, opened, _ = outputs(events)
    assert [each["url"] for each in search["results"]] == ["https://moon.example.org/"]
    assert opened["status"] == "failed"
    assert opened["agent_kernel"]["error"] == "The request does not allow pages of 127.0.0.1."
    assert web.asked[0][1]["q"] == ["tides site:example.org"]
    assert len(web.asked) == 1
    assert "Oslo" in upstream.requests[0]["tools"][0]["function"]["description"]


async def test_pages_obey_the_policy_of_the_turn(runtime: Make, upstream: Upstream, web: Web) -> None:
    for _ in range(2):
        asks(upstream, action="open_page", url=f"{web.url}/moon")
        upstream.says({"content": "Done."})
    rule = {"host": "127.0.0.1", "action": "deny", "reason": "Not that one."}
    async with runtime(turn_settings=access(web)) as running:
        denied = await events_of(running, "Read.", TOOL, agent_kernel={"approval": {"rules": [rule]}})
        offline = await events_of(running, "Read.", {**TOOL, "external_web_access": False})
    assert outputs(denied)[0]["agent_kernel"]["error"] == "Not that one."
    assert outputs(offline)[0]["agent_kernel"]["error"] == "The request allows searches only, no pages."
    assert web.asked == []


async def test_without_a_service_the_tool_is_refused(runtime: Make, upstream: Upstream) -> None:
    async with runtime() as running:
        for kind in ("web_search", "web_search_preview", "web_search_2025_08_26"):
            with pytest.raises(InvalidRequest) as caught:
                await events_of(running, "Search.", {"type": kind})
            assert (caught.value.param, caught.value.request_code) == ("tools[0].type", "unsupported_tool")
        upstream.says({"content": "Hello."})
        codex = {"client_metadata": {"x-codex-turn-metadata": "{}"}}
        events = await events_of(running, "Go.", TOOL, **codex)
    notices = events[-1]["response"]["agent_kernel"]["notices"]
    assert notices == ["Not available here, so not offered to the model: web_search."]
    assert events[-1]["response"]["tools"] == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("filters", {"allowed_domains": ["https://example.org"]}),
        ("filters", {"allowed_domains": ["a.example"] * 101}),
        ("filters", {"other": 1}),
        ("search_context_size", "huge"),
        ("user_location", {"city": 3}),
        ("external_web_access", "yes"),
    ],
)
async def test_a_wrong_entry_is_refused(
    runtime: Make, upstream: Upstream, web: Web, name: str, wrong: Any
) -> None:
    async with runtime(turn_settings=access(web)) as running:
        with pytest.raises(InvalidRequest, match=name):
            await events_of(running, "Search.", {**TOOL, name: wrong})
    assert upstream.requests == []


async def test_a_call_that_makes_no_sense_is_told_to_the_model(
    runtime: Make, upstream: Upstream, web: Web
) -> None:
    for wrong in ({"action": "open_page", "url": "file:///etc/passwd"}, {"action": "search", "queries": []}):
        asks(upstream, **wrong)
    upstream.says({"content": "Sorry."})
    async with runtime(turn_settings=access(web)) as running:
        events = await events_of(running, "Go.", TOOL)
    assert [each["type"] for each in outputs(events)] == ["mcp_call", "mcp_call", "message"]
    assert "https:// or http://" in outputs(events)[0]["error"]["message"]


async def test_tool_choice_may_use_an_older_name(runtime: Make, upstream: Upstream, web: Web) -> None:
    asks(upstream, queries=["tides"])
    upstream.says({"content": "Done."})
    async with runtime(turn_settings=access(web)) as running:
        kind = "web_search_preview"
        events = await events_of(running, "Go.", {"type": kind}, tool_choice={"type": kind})
    chosen = upstream.requests[0]["tool_choice"]
    assert chosen == {"type": "function", "function": {"name": "web_search"}}
    assert outputs(events)[0]["type"] == "web_search_call"


async def test_the_strict_accumulator_takes_the_stream(runtime: Make, upstream: Upstream, web: Web) -> None:
    asks(upstream, action="search", queries=["tides"])
    upstream.says({"content": f"14 [tides]({web.url}/tides)"})
    async with (
        runtime(turn_settings=access(web)) as running,
        serving(running, "secret") as url,
        AsyncOpenAI(base_url=url, api_key="secret", max_retries=0) as client,
    ):
        tool: Any = TOOL
        async with client.responses.stream(model="chat/m", input="Search.", tools=[tool]) as stream:
            seen = [event.type async for event in stream]
            response = await stream.get_final_response()
    searched, message = response.output
    assert searched.type == "web_search_call"
    assert searched.action.type == "search"
    assert message.type == "message"
    assert seen.count("response.output_text.annotation.added") == 1


async def test_calls_are_in_the_audit_log(
    runtime: Make, upstream: Upstream, web: Web, tmp_path: Path
) -> None:
    asks(upstream, action="search", queries=["tides"])
    upstream.says({"content": "Done."})
    async with runtime(turn_settings=access(web)) as running:
        await events_of(running, "Go.", TOOL)
    assert '"tool": "web_search"' in (tmp_path / "audit.jsonl").read_text()
