"""What is kept of a chain's beginning: each turn must send what it would have sent without it."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.models.base import ModelRequest
from agent_kernel.models.chat_input import translate as to_chat
from agent_kernel.models.conversation import CallIds
from agent_kernel.models.earlier import earlier_of, encoded, rendered
from agent_kernel.models.offered import Offered
from agent_kernel.models.responses_input import translate as to_responses
from agent_kernel.runtime.turns.context.compaction import for_model
from agent_kernel.runtime.turns.context.estimate import ItemSizes, estimate
from agent_kernel.runtime.turns.context.settled import Settled
from agent_kernel.runtime.turns.history import History, join
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.store.records import ResponseRow
from tests.runtime.played import Turn, Upstream, runtime_on, turns_of

Json = dict[str, Any]
OFFERED = Offered([], native=False)
DIALECTS = {
    "chat": partial(to_chat, instructions=None, offered=OFFERED),
    "responses": partial(to_responses, offered=OFFERED, origin="here"),
}


class Chain:
    """Turns of a made-up conversation, as the store would have them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.history = History()
        self.made = 0

    def turn(self) -> None:
        """Add a turn."""
        given = [self.message(self.random.choice(["user", "user", "developer"]))]
        output = [item for _ in range(self.random.randrange(1, 4)) for item in self.step()]
        self.history = self.history.after(row(given, [*output, self.message("assistant")]))

    def step(self) -> list[Json]:
        """Return what a model may do in a step."""
        self.made += 1
        n, name = self.made, self.random.choice(["say", "think", "shell", "function", "python", "rejected"])
        match name:
            case "say":
                return [self.message("assistant")]
            case "think":
                summary = [{"type": "summary_text", "text": f"Thought {n}."}]
                return [{"id": f"rs_{n}", "type": "reasoning", "summary": summary, "encrypted_content": "x"}]
            case "shell":
                output = [{"stdout": f"{n}\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
                call = {"id": f"sh_{n}", "type": "shell_call", "call_id": f"call_{n}"}
                action = {"commands": [f"echo {n}"], "timeout_ms": None, "max_output_length": None}
                out = {"id": f"sho_{n}", "type": "shell_call_output", "call_id": f"call_{n}"}
                return [{**call, "action": action, "status": "completed"}, {**out, "output": output}]
            case "function":
                call = {"id": f"fc_{n}", "type": "function_call", "call_id": f"call_{n}", "name": "f"}
                out = {"id": f"fco_{n}", "type": "function_call_output", "call_id": f"call_{n}"}
                return [{**call, "arguments": "{}"}, {**out, "output": f"result {n}"}]
            case "python":
                call = {"id": f"ci_{n}", "type": "code_interpreter_call", "code": f"print({n})"}
                return [{**call, "status": "completed", "container_id": "c", "outputs": []}]
            case _:
                call = {"id": f"mcp_{n}", "type": "mcp_call", "server_label": "agent_kernel", "name": "gone"}
                return [{**call, "arguments": "{", "error": "no such tool"}] if n % 9 == 0 else []

    def message(self, role: str) -> Json:
        """Return a message."""
        self.made += 1
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": f"Message {self.made}, «quoted» and \u2028 odd."}]
        return {"id": f"msg_{self.made}", "type": "message", "role": role, "content": content}


def row(given: list[Json], output: list[Json]) -> ResponseRow:
    response = {"output": output}
    return ResponseRow("resp_1", 0.0, "completed", "m", None, None, {}, given, response)


def sent(items: Any, dialect: str) -> Any:
    """The items as a request has them."""
    body = {"model": "m", "input": rendered(items, dialect, DIALECTS[dialect], [{"role": "system"}])}
    return json.loads(encoded(body) or json.dumps(body))


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("seed", range(12))
def test_request_is_the_same_with_and_without_what_is_kept(seed: int, dialect: str) -> None:
    chain = Chain(seed)
    for _ in range(12):
        chain.turn()
        new = chain.message("user")
        whole = for_model(join(replace(chain.history, settled=Settled()), [new]))
        kept = for_model(join(chain.history, [new]), chain.history.settled)
        assert list(kept) == list(whole)
        assert sent(kept, dialect) == sent(list(whole), dialect)
        assert ItemSizes().estimate(kept) == estimate(whole)
        if chain.history.settled.length:
            earlier = earlier_of(kept)
            assert earlier is not None
            for item in whole[: earlier.count]:
                given = item.get("call_id")
                assert given is None or CallIds(kept).unused(given) != given


def test_chain_without_rejected_calls_is_settled_whole() -> None:
    chain = Chain(0)
    chain.random.choice = lambda among: among[0]  # type: ignore[assignment,method-assign]
    for _ in range(5):
        chain.turn()
    assert chain.history.settled.length == len(chain.history.items) > 10
    assert chain.history.recent == []


def test_branches_of_a_chain_do_not_see_each_other() -> None:
    chain = Chain(3)
    for _ in range(4):
        chain.turn()
    fork, new = chain.history, chain.message("user")
    branches = []
    for _ in range(3):
        chain.history = fork
        for _ in range(3):
            chain.turn()
        branches.append(chain.history)
    for history in (*branches, fork):
        whole = for_model(join(replace(history, settled=Settled()), [new]))
        for dialect in DIALECTS:
            assert sent(for_model(join(history, [new]), history.settled), dialect) == sent(whole, dialect)


@pytest.mark.parametrize(
    "open_item",
    [
        {"type": "function_call", "call_id": "call_x", "name": "f", "arguments": "{}"},
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f", "server_label": "s", "arguments": "{}"},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "additional_tools", "id": "at_1", "tools": []},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
        {"type": "local_shell_call", "call_id": "call_x", "id": "lsh_1"},
        {"type": "something_new", "id": "x_1"},
        {"type": "message", "role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
        {"type": "function_call_output", "call_id": "call_nobody", "output": ""},
    ],
    ids=lambda item: item["type"],
)
def test_item_that_may_change_later_is_not_settled(open_item: Json) -> None:
    chain = Chain(1)
    chain.history = chain.history.after(row([chain.message("user")], [chain.message("assistant")]))
    settled = chain.history.settled.length
    assert settled == 2
    chain.history = chain.history.after(row([chain.message("user")], [open_item]))
    chain.history = chain.history.after(row([chain.message("user")], [chain.message("assistant")]))
    assert chain.history.settled.length == settled


def test_call_is_settled_once_its_output_has_come() -> None:
    chain = Chain(1)
    call = {"type": "function_call", "call_id": "call_x", "name": "f", "arguments": "{}"}
    chain.history = chain.history.after(row([chain.message("user")], [call]))
    assert chain.history.settled.length == 0
    output = {"type": "function_call_output", "call_id": "call_x", "output": "sun"}
    chain.history = chain.history.after(row([output], [chain.message("assistant")]))
    assert chain.history.settled.length == 4
    again = join(chain.history, [output])  # a client may send an output twice
    assert [item["type"] for item in again].count("function_call_output") == 2


@pytest.fixture
async def turn(
    upstream: Upstream, bubblewrap_backend: BubblewrapBackend, tmp_path: Path
) -> AsyncIterator[Turn]:
    async with runtime_on(upstream.url, bubblewrap_backend, tmp_path) as runtime:
        yield turns_of(runtime)


@pytest.mark.bubblewrap
async def test_late_turn_calls_no_more_functions_than_an_early_one(upstream: Upstream, turn: Turn) -> None:
    """Work is counted in calls of Python functions: seconds would depend on the machine."""
    counts: list[int] = []
    previous: str | None = None

    def count(_frame: object, event: str, _argument: object) -> None:
        counts[-1] += event == "call"

    for number in range(60):
        upstream.says({"content": f"Answer {number}."})
        counts.append(0)
        sys.setprofile(count)
        try:
            response = await turn(f"Question {number}?", previous_response_id=previous)
        finally:
            sys.setprofile(None)
        previous = response.id
    early, late = min(counts[2:12]), min(counts[-10:])
    assert late <= early * 1.05
    told = upstream.requests[-1]["messages"]
    assert [each["content"] for each in told[-3:]] == ["Question 58?", "Answer 58.", "Question 59?"]
    assert len(told) == 119


def test_any_change_of_what_is_sent_makes_it_a_plain_list() -> None:
    chain = Chain(1)
    chain.history = chain.history.after(row([chain.message("user")], [chain.message("assistant")]))
    kept = for_model(join(chain.history, [new := chain.message("user")]), chain.history.settled)
    assert earlier_of(ModelRequest("m", kept).input) is not None
    for plain in ([*kept], kept[:2], [*kept, new], list(kept)):
        assert earlier_of(plain) is None
