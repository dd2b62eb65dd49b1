from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.turns.history import History, join
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.store.records import ResponseRow


def shell(environment: Any) -> dict[str, Any]:
    return {"type": "shell", "environment": environment}


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": 7}, "input"),
        ({"input": None}, "input"),
        ({"input": ["text"]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"instructions": 1}, "instructions"),
        ({"model": 1}, "model"),
        ({"previous_response_id": {}}, "previous_response_id"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"metadata": []}, "metadata"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
        (
            {"input": [{"type": "shell_call_output", "call_id": "c", "output": [{}]}]},
            "input[0].output[0].outcome",
        ),
        ({"input": [{"type": "shell_call", "call_id": "c", "action": {}}]}, "input[0].action.commands"),
        ({"input": [{"type": "function_call", "call_id": "c", "arguments": ""}]}, "input[0].name"),
        ({"background": "yes"}, "background"),
        ({"background": True, "store": False}, "store"),
        ({"conversation": 1}, "conversation"),
        ({"conversation": "c", "previous_response_id": "r"}, "previous_response_id"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        (
            {"context_management": [{"type": "x", "compact_threshold": "x"}]},
            "context_management[0].compact_threshold",
        ),
        ({"tools": [shell({"type": "container_auto", "file_ids": "f"})]}, "tools.environment.file_ids"),
        ({"tools": "shell"}, "tools"),
        ({"tools": [{}]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [shell(None), shell(None)]}, "tools[1]"),
        ({"tools": [shell("auto")]}, "tools[0].environment"),
        ({"tools": [shell({})]}, "tools[0].environment.type"),
        ({"tools": [shell({"type": "container_reference"})]}, "tools[0].environment.container_id"),
        (
            {"tools": [shell({"type": "container_auto", "memory_limit": "2g"})]},
            "tools[0].environment.memory_limit",
        ),
        (
            {
                "tools": [
                    shell(
                        {
                            "type": "container_auto",
                            "network_policy": {"type": "allowlist", "allowed_domains": ["a.example/"]},
                        }
                    )
                ]
            },
            "tools[0].environment.network_policy.allowed_domains[0]",
        ),
        ({"tool_choice": {"type": "shell"}}, "tool_choice"),
        ({"tools": [{"type": "shell", "container": "cntr_1"}]}, "tools[0].container"),
        ({"tools": [{"type": "shell", "container": []}]}, "tools[0].container"),
        ({"tools": [{"type": "shell", "container": {"memory_limit": "1g"}}]}, "tools[0].container"),
        (
            {"tools": [{"type": "shell", "container": {"type": "auto", "memory_limit": "2g"}}]},
            "tools[0].container.memory_limit",
        ),
        ({"tools": [{"type": "shell", "container": {"type": "container_auto"}}]}, "tools[0].container"),
        ({"tools": [{**shell({"type": "local"}), "container": {"type": "auto"}}]}, "tools[0].container"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "hello", **wrong})
    assert caught.value.param == param


def test_nulls_and_empty_lists_mean_the_default() -> None:
    turn = read_request(
        {
            "input": [],
            "tools": None,
            "instructions": None,
            "store": None,
            "temperature": None,
            "background": False,
        }
    )
    assert turn.environment is None
    assert turn.store
    assert turn.settings == {}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"environment": None},
        {"container": None},
        {"container": {"type": "auto"}},
        {"container": {"type": "auto", "memory_limit": "1g"}, "environment": None},
    ],
)
def test_older_shell_shapes_run_in_a_container(more: dict[str, Any]) -> None:
    turn = read_request({"input": "x", "tools": [{"type": "shell", **more}]})
    assert turn.environment is not None
    assert turn.environment.kind == "auto"
    assert turn.tools_shown("cntr_1") == [
        {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}}
    ]
    given = (turn.environment.params or {}).get("memory_limit")
    assert given == (more.get("container") or {}).get("memory_limit")


CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "1"}


def test_a_call_without_output_is_named() -> None:
    with pytest.raises(InvalidRequest, match="No tool output found for function_call call_1"):
        join(History(items=[CALL]), [])


def test_an_output_without_call_is_named() -> None:
    with pytest.raises(InvalidRequest, match="call_1"):
        join(History(), [OUTPUT])


def test_call_and_output_meet_across_turns() -> None:
    assert join(History(items=[CALL]), [OUTPUT]) == [CALL, OUTPUT]


def test_calls_of_a_stopped_turn_are_answered_by_a_note() -> None:
    joined = join(History(items=[CALL], stopped=frozenset({"call_1"})), [])
    assert joined[0] == CALL
    assert joined[1]["type"] == "function_call_output"
    assert joined[1]["call_id"] == "call_1"


def row(call: dict[str, Any], tools: Any) -> ResponseRow:
    return ResponseRow(
        "r",
        0.0,
        "completed",
        "m",
        None,
        None,
        {"tools": tools},
        [],
        {"output": [{**call, "status": "completed"}]},
    )


STRAY_SHELL = {"type": "shell_call", "call_id": "call_2", "action": {"commands": ["ls"]}}
OFFERED = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("call", "tools"), [(CALL, None), (CALL, [{**OFFERED, "name": "g"}]), (STRAY_SHELL, [OFFERED])]
)
def test_stored_call_without_offered_tool_needs_no_answer(call: dict[str, Any], tools: Any) -> None:
    joined = join(History().after(row(call, tools)), [])
    assert [item.get("call_id") for item in joined] == [call["call_id"]] * 2


def test_stored_call_of_an_offered_function_needs_its_answer() -> None:
    with pytest.raises(InvalidRequest, match="No tool output found for function_call call_1"):
        join(History().after(row(CALL, [OFFERED])), [])
