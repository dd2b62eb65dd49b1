"""docs/api.md says what the code does with each word of the API, and the code knows each word of the SDK.

Prints the tables for docs/api.md with `python -m tests.docs.test_coverage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from openai.types.responses.response_create_params import ToolChoice as ToolChoiceParam
from openai.types.responses.response_includable import ResponseIncludable
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from openai.types.responses.tool_param import ToolParam

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.conversation import is_passed
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.tools.catalogue import BUILT_IN, catalogue
from agent_kernel.tools.coverage import FIELDS, INCLUDE, ITEMS, TOOL_CHOICES, TOOLS, Coverage
from tests.docs.tables import rows, section

TABLES: Mapping[str, Mapping[str, Coverage]] = {
    "tool": TOOLS,
    "tool_choice": TOOL_CHOICES,
    "include": INCLUDE,
    "input item": ITEMS,
    "request field": FIELDS,
}
FIELDS_OF_CREATE = get_type_hints(ResponseCreateParamsNonStreaming)


def literals(hint: Any) -> Iterator[str]:
    """The words in a type, also those inside Optional and Required."""
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        for each in get_args(hint):
            yield from literals(each)


def types_in(union: Any) -> set[str]:
    """The words of a union: its literals, and the `type` of each of its objects."""
    found: set[str] = set()
    for each in get_args(union):
        found |= set(
            literals(get_type_hints(each)["type"]) if hasattr(each, "__annotations__") else literals(each)
        )
    return found


IN_THE_SDK = {
    "tool": types_in(ToolParam),
    "tool_choice": types_in(ToolChoiceParam),
    "include": set(literals(ResponseIncludable)),
    "input item": types_in(ResponseInputItemParam),
    "request field": set(FIELDS_OF_CREATE) | {"stream"},
}


@pytest.mark.parametrize("name", TABLES)
def test_every_word_of_the_sdk_has_a_line(name: str) -> None:
    """A newer SDK with a new word fails here until tools/coverage.py says what happens to it."""
    assert set(TABLES[name]) == IN_THE_SDK[name]


@pytest.mark.parametrize("name", TABLES)
def test_documented_coverage_is_that_of_the_code(name: str) -> None:
    listed = rows(section("api.md", "Coverage"), name, "", "remarks")
    assert listed == [[word, each.status, each.note.replace("`", "")] for word, each in TABLES[name].items()]


def test_served_tools_are_those_installed() -> None:
    ours = {path.partition(":")[0] for path in BUILT_IN}
    installed = {kind for kind in catalogue().types if type(catalogue().get(kind)).__module__ in ours}
    without_tool = {"namespace"}
    covered = {kind for kind, each in TOOLS.items() if each.status != "refused"}
    assert covered - without_tool - installed == set()
    assert {kind for kind in installed if kind in TOOLS} <= covered, "see tools/coverage.py, TOOLS"


REFUSED = [kind for kind, each in TOOLS.items() if each.status == "refused"]


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_tool_says_what_to_do(kind: str) -> None:
    for choice in (None, {"type": kind}):
        with pytest.raises(InvalidRequest) as caught:
            read_request({"input": "x", "tools": [{"type": kind, "name": "f"}], "tool_choice": choice})
        assert (caught.value.param, caught.value.request_code) == ("tools[0].type", "unsupported_tool")
        assert TOOLS[kind].note in str(caught.value)


def test_tool_in_a_namespace_is_refused() -> None:
    inner = {"type": "web_search"}
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "x", "tools": [{"type": "namespace", "name": "n", "tools": [inner]}]})
    assert (caught.value.param, caught.value.request_code) == ("tools[0].tools[0].type", "unsupported_tool")


@pytest.mark.parametrize("name", [name for name, each in FIELDS.items() if each.status == "refused"])
def test_refused_field_says_what_to_do(name: str) -> None:
    read_request({"input": "x", name: None})
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "x", name: {"id": "p"}})
    assert (caught.value.param, caught.value.request_code) == (name, "unsupported_parameter")
    assert FIELDS[name].note in str(caught.value)


def test_include_of_what_is_not_there_is_refused() -> None:
    read_request({"input": "x", "include": [each for each in INCLUDE if INCLUDE[each].status == "served"]})
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": "x", "include": ["reasoning.encrypted_content", "something.new"]})
    assert (caught.value.param, caught.value.request_code) == ("include[1]", "unsupported_value")


@pytest.mark.parametrize("kind", [kind for kind, each in ITEMS.items() if each.status == "refused"])
def test_refused_item_says_what_to_do(kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"input": [{"type": "message", "role": "user", "content": "x"}, {"type": kind}]})
    assert (caught.value.param, caught.value.request_code) == ("input[1].type", "unsupported_item")
    assert ITEMS[kind].note in str(caught.value)


def test_passed_items_have_no_tool_here() -> None:
    passed = {kind for kind, each in ITEMS.items() if each.status == "passed through"}
    assert {kind for kind in ITEMS if is_passed({"type": kind})} == passed


def _print() -> None:
    for name, words in TABLES.items():
        print(f"| {name} | | remarks |\n|---|---|---|")
        print("\n".join(f"| `{word}` | {each.status} | {each.note} |" for word, each in words.items()), "\n")


if __name__ == "__main__":
    _print()
