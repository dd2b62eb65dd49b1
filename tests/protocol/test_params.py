"""Requests are checked against the openai package's types, with our limits on top."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic_core import ValidationError

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.params import REQUESTS, item_types, validator
from agent_kernel.protocol.validation import check, shortened

CREATE = "ResponseCreateParams"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"model": 7}, "model must be a string, not 7."),
        ({"temperature": "hot"}, "temperature must be a number, not 'hot'."),
        ({"temperature": True}, "temperature must be a number, not true."),
        ({"max_output_tokens": "5"}, "max_output_tokens must be a whole number, not '5'."),
        ({"max_output_tokens": 0}, "max_output_tokens must be at least 1, not 0."),
        ({"max_tool_calls": 1.5}, "max_tool_calls must be a whole number, not 1.5."),
        ({"stream": "yes"}, "stream must be true or false, not 'yes'."),
        ({"reasoning": []}, "reasoning must be an object, not a list."),
        ({"conversation": 7}, "conversation must be a string or an object, not 7."),
        ({"conversation": {}}, "conversation.id is missing."),
        ({"metadata": {"a": 1}}, "metadata.a must be a string, not 1."),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata may have at most 16 entries."),
        ({"agent_kernel": {"budget": {"money": 1}}}, "No such field: agent_kernel.budget.money."),
        (
            {"text": {"format": {"type": "json_schema", "name": 7}}},
            "text.format.name must be a string, not 7.",
        ),
        ({"user": "x" * 1000, "model": ["x" * 10**6]}, "model must be a string, not a list."),
    ],
)
def test_message_names_path_expectation_and_value(value: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(CREATE, value)
    assert str(caught.value) == says
    assert caught.value.param == says.split()[0] or says.startswith("No such field")


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"type": "message", "role": "x", "content": "y"},
         "input[0].role must be one of 'user', 'assistant', "),
        ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": 7}]},
         "input[0].content[0].text must be a string, not 7."),
        ({"type": "function_call_output", "call_id": "c", "output": 7},
         "input[0].output must be a string or a list, not 7."),
        ({"type": "shell_call", "call_id": "c", "action": {"commands": ["a", 7]}},
         "input[0].action.commands[1] must be a string, not 7."),
        ({"type": "mcp_approval_response", "approve": True},
         "input[0].approval_request_id is missing."),
    ],
)  # fmt: skip
def test_items_are_checked_by_their_type(item: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(item["type"], item, "input[0]")
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    "value",
    [
        {"model": None, "stream": None, "include": None, "metadata": None, "text": None},
        {"include": ["something.new"], "service_tier": "new", "truncation": "new"},
        {"reasoning": {"effort": "new", "other": 1}},
        {"text": {"format": {"type": "new", "name": 7}}},
        {"unknown": [1, {"x": 2}]},
        {"temperature": 1, "max_output_tokens": 10**400},
    ],
)
def test_null_unknown_fields_and_new_words_are_accepted(value: dict[str, Any]) -> None:
    check(CREATE, value)


def test_sent_back_messages_need_no_annotations_or_ids() -> None:
    content = [{"type": "output_text", "text": "x"}, {"type": "something_new", "text": 7}]
    check("message", {"role": "assistant", "content": content})


@pytest.mark.parametrize("name", [*REQUESTS, *item_types()])
def test_every_type_has_a_validator_that_refuses_text(name: str) -> None:
    with pytest.raises(ValidationError):
        validator(name).validate_python("x", strict=True)


def test_long_list_of_wrong_entries_reports_one_error() -> None:
    with pytest.raises(ValidationError) as caught:
        validator(CREATE).validate_python({"context_management": [7] * 100_000}, strict=True)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("value", ["x" * 10**6, 10**4000, [1] * 10**6, {"x": "y" * 10**6}, None, True, 1.5])
def test_shown_value_is_short(value: object) -> None:
    assert len(shortened(value)) < 60
    assert "\n" not in shortened("a\nb")


def test_importing_the_checks_loads_neither_pydantic_nor_openai() -> None:
    code = (
        "import sys, agent_kernel.protocol.params, agent_kernel.protocol.validation;"
        "print([m for m in ('openai', 'pydantic', 'pydantic_core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
