"""Long conversations made short, and what is encrypted: by the upstream where it can, and back to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from tests.runtime.played import SHELL, Turn, Upstream, call, items, runtime_on, turns_of

LIMIT = [{"type": "compaction", "compact_threshold": 1000}]
COMPACTED = {"type": "compaction", "id": "cmp_up", "encrypted_content": "blob"}
LONG = "x" * 8000


def message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "m", "role": "assistant", "content": content}


def usage(given: int) -> dict[str, Any]:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + 7,
    }


@pytest.fixture
async def runtime(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[LocalRuntime]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield runtime


@pytest.fixture
def turn(runtime: LocalRuntime) -> Turn:
    return turns_of(runtime)


# -- compaction ---------------------------------------------------------------------------------------------


async def test_an_upstream_that_can_compacts_for_itself(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(COMPACTED, message("Short."), usage=usage(2500))
    first = await turn(LONG, model="openai/m", context_management=LIMIT)
    assert upstream.requests[0]["context_management"] == LIMIT
    assert [item["type"] for item in items(first)] == ["compaction", "message"]
    assert items(first)[0]["id"] != COMPACTED["id"]
    assert first.usage is not None
    assert first.usage.total_tokens == 2507

    upstream.responds(message("On."))
    await turn("Go on.", model="openai/m", previous_response_id=first.id)
    sent = upstream.requests[1]["input"]
    assert sent[0] == COMPACTED
    assert [each.get("role") for each in sent[1:]] == ["assistant", "user"]

    upstream.responds(message("On."))
    given = [{"role": "user", "content": LONG}, *items(first), {"role": "user", "content": "Go on."}]
    await turn(given, model="openai/m", store=False)
    assert upstream.requests[2]["input"][0] == COMPACTED, "also when a client sends it back"


async def test_an_upstream_that_cannot_is_asked_for_a_summary(upstream: Upstream, turn: Turn) -> None:
    upstream.says({"content": "Hello."})
    first = await turn(LONG)
    upstream.says(
        {"content": "They said x."}, usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    )
    upstream.says({"content": "On."}, usage={"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6})
    second = await turn("Go on.", previous_response_id=first.id, context_management=LIMIT)
    assert [item["type"] for item in items(second)] == ["compaction", "message"]
    asked, told = upstream.requests[1]["messages"], upstream.requests[2]["messages"]
    assert "summary" in asked[-1]["content"]
    assert [each["role"] for each in told] == ["user", "user", "system"]
    assert "They said x." in told[-1]["content"]
    assert second.usage is not None
    assert second.usage.total_tokens == 16, "the summary is paid for, too"


async def test_a_conversation_is_compacted_at_the_upstream(upstream: Upstream, runtime: LocalRuntime) -> None:
    output = [{"type": "message", "id": "u", "role": "user", "content": []}, COMPACTED]
    answer = {"id": "r", "object": "response.compaction", "created_at": 1, "output": output}
    upstream.answers({**answer, "usage": usage(2500)})
    compacted = await runtime.compact({"model": "openai/m", "input": LONG})
    kept, item = to_json(compacted)["output"]
    assert (kept["type"], kept["content"][0]["text"]) == ("message", LONG)
    assert compacted.usage.total_tokens == 2507
    upstream.responds(message("On."))
    await turns_of(runtime)([kept, item, {"role": "user", "content": "Go on."}], model="openai/m")
    assert [each["type"] for each in upstream.requests[1]["input"]] == ["compaction", "message"]
    assert upstream.requests[1]["input"][0] == COMPACTED


async def test_without_such_an_endpoint_it_is_a_summary(upstream: Upstream, runtime: LocalRuntime) -> None:
    upstream.refuses(404, "Not found", {})
    upstream.responds(message("They said x."))
    compacted = await runtime.compact({"model": "openai/m", "input": LONG})
    upstream.responds(message("On."))
    given = to_json(compacted)["output"]
    await turns_of(runtime)([*given, {"role": "user", "content": "Go on."}], model="openai/m")
    assert "They said x." in str(upstream.requests[-1]["input"])


async def test_omitted_output_names_the_path_of_the_full_log(upstream: Upstream, turn: Turn) -> None:
    arguments = {"commands": ["seq 1 100000"], "max_output_length": 1000}
    upstream.says(call(0, "shell", arguments), finish="tool_calls")
    upstream.says({"content": "Long."})
    response = await turn("Count.", tools=[SHELL])
    told = upstream.requests[1]["messages"][-1]["content"]
    assert "characters left out; the log is /" in told
    path = told.split("the log is ")[1].split(" ...]")[0]
    upstream.says(call(0, "shell", {"commands": [f"wc -l < {path}"]}, "c2"), finish="tool_calls")
    upstream.says({"content": "All."})
    later = await turn("All of it?", previous_response_id=response.id, tools=[SHELL])
    assert items(later)[1]["output"][0]["stdout"] == "100000\n"


# -- encrypted reasoning ------------------------------------------------------------------------------------

REASONING = {"type": "reasoning", "id": "rs_up", "summary": [], "encrypted_content": "thought"}
INCLUDE = ["reasoning.encrypted_content"]


@pytest.mark.parametrize("prefix", ["openai", "responses"])
async def test_encrypted_reasoning_goes_to_the_client_and_back(
    prefix: str, upstream: Upstream, turn: Turn
) -> None:
    """Nothing is stored anywhere: the client sends everything again, as Codex does."""
    upstream.responds(REASONING, message("Yes."))
    first = await turn("Think.", model=f"{prefix}/m", store=False, include=INCLUDE)
    assert upstream.requests[0]["include"] == INCLUDE
    assert upstream.requests[0]["store"] is False
    thought = items(first)[0]
    assert (thought["type"], bool(thought["encrypted_content"])) == ("reasoning", True)

    upstream.responds(message("Still."))
    given = [{"role": "user", "content": "Think."}, *items(first), {"role": "user", "content": "Again."}]
    await turn(given, model=f"{prefix}/m", store=False, include=INCLUDE)
    assert [each for each in upstream.requests[1]["input"] if each["type"] == "reasoning"] == [REASONING]

    upstream.responds(message("Well."))
    await turn(given, model=f"{prefix}/other", store=False, include=INCLUDE)
    kinds = [each["type"] for each in upstream.requests[2]["input"]]
    assert kinds == ["message", "message", "message"], "another model cannot read it"


async def test_where_nobody_asks_other_servers_are_not_asked(upstream: Upstream, turn: Turn) -> None:
    upstream.responds(message("Yes."))
    await turn("Think.", model="responses/m")
    assert "include" not in upstream.requests[0]


async def test_the_other_dialect_has_none_and_takes_none(upstream: Upstream, runtime: LocalRuntime) -> None:
    upstream.says({"reasoning_content": "hm"}, {"content": "Yes."})
    request = {"input": "Think.", "model": "chat/m", "store": False, "include": INCLUDE}
    async with aclosing(runtime.respond(request)) as events:
        first = fold([event async for event in events])
    assert items(first)[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert not items(first)[0].get("encrypted_content")
    upstream.says({"content": "Still."})
    given = [
        {"role": "user", "content": "Think."},
        *items(first),
        REASONING,
        {"role": "user", "content": "Again."},
    ]
    await turns_of(runtime)(given, model="chat/m", store=False, include=INCLUDE)
    assert [each["role"] for each in upstream.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert "thought" not in str(upstream.requests[1])
