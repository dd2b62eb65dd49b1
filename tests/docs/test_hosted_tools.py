"""docs/api.md and docs/clients.md: each claim about a hosted tool is that of a test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from agent_kernel.tools.coverage import TOOLS
from tests.conftest import CHECKOUT
from tests.docs.tables import rows, section

SHOWN_BY: Mapping[tuple[str, str], Sequence[str]] = {
    ("shell", "here"): [
        "clients/test_openai_python.py::two_turns",
        "clients/test_openai_agents.py::a_local_shell",
    ],
    ("shell", "differs"): ["runtime/turns/test_aftermath.py::failed_commands_are_explained_to_the_model"],
    ("code_interpreter", "here"): [
        "tools/code_interpreter/test_interpreter.py::the_documented_streams",
        "clients/test_openai_python.py::variables_last_from_turn_to_turn",
    ],
    ("code_interpreter", "differs"): [
        "tools/code_interpreter/test_containers.py::items_of_an_expired_container_are_replayed",
        "tools/code_interpreter/test_interpreter.py::outputs_of_all_kinds_come_on_request",
        "tools/code_interpreter/test_r.py::values_are_printed_and_variables_kept",
    ],
    ("apply_patch", "here"): ["tools/apply_patch/test_turns.py::client_applies_patches_as_in_the_api"],
    ("apply_patch", "differs"): [
        "tools/apply_patch/test_turns.py::patches_are_applied_in_the_container",
        "tools/apply_patch/test_files.py::refused_operation_changes_nothing",
    ],
    ("file_search", "here"): [
        "tools/file_search/test_served.py::a_turn_searches_cites_and_is_continued",
        "tools/file_search/test_served.py::filters_limit_what_is_found",
    ],
    ("file_search", "differs"): [
        "tools/file_search/test_ranking.py::recall_is_not_below_that_of_plain_fts5",
        "tools/file_search/test_served.py::each_kind_of_file_is_read_in_a_sandbox",
        "tools/file_search/test_hostile.py::hostile_files_fail_with_a_reason",
    ],
    ("web_search", "here"): [
        "tools/web_search/test_turns.py::a_search_has_the_order_and_fields_of_the_api",
        "tools/web_search/test_turns.py::filters_hold_for_results_and_pages",
        "tools/web_search/test_turns.py::sources_and_results_are_hidden_without_include",
    ],
    ("web_search", "differs"): [
        "tools/web_search/test_turns.py::without_a_service_the_tool_is_refused",
        "tools/web_search/test_pages.py::private_address_is_refused",
    ],
    ("mcp", "here"): [
        "tools/mcp/test_turns.py::list_and_call_in_the_order_of_the_api",
        "tools/mcp/test_turns.py::a_server_is_listed_once_per_chain",
        "tools/mcp/test_turns.py::an_approved_call_runs_first",
    ],
    ("mcp", "differs"): [
        "tools/mcp/test_failures.py::a_private_server_is_refused",
        "tools/mcp/test_failures.py::credentials_are_sent_and_kept_nowhere",
        "tools/mcp/test_inside.py::a_server_in_the_container_keeps_its_state",
    ],
    ("tool_search", "here"): [
        "tools/tool_search/test_tool_search.py::found_tools_can_be_called_from_then_on"
    ],
    ("tool_search", "differs"): ["tools/tool_search/test_tool_search.py::a_query_finds_tools_of_every_kind"],
    ("computer", "here"): [
        "clients/tools/test_computer.py::openai_agents",
        "tools/computer/test_turns.py::chat_model_gets_screenshots_as_images",
        "models/anthropic/test_computer.py::toolset_is_offered_and_read",
    ],
    ("computer", "differs"): [
        "tools/computer/test_turns.py::a_form_is_filled_in_on_the_desktop",
        "tools/computer/test_turns.py::safety_check_of_the_upstream_asks",
        "tools/computer/test_turns.py::hostile_page_ends_in_questions",
    ],
    ("custom", "here"): ["tools/test_custom.py::two_turns_with_any_model"],
    ("custom", "differs"): ["tools/test_custom.py::server_that_has_them_gets_them_as_they_are"],
    ("namespace", "here"): ["clients/codex/test_codex_tools.py::forty_tools_in_a_namespace"],
    ("namespace", "differs"): ["docs/test_coverage.py::tool_in_a_namespace_is_refused"],
    ("image_generation", "here"): ["tools/test_passed.py::responses_upstream_gets_the_tool"],
    ("image_generation", "differs"): ["tools/test_passed.py::other_model_cannot_have_the_tool"],
    ("local_shell", "here"): ["tools/test_passed.py::client_answers_the_call"],
    ("local_shell", "differs"): ["tools/test_passed.py::other_model_cannot_have_the_tool"],
}
"""The tests of each claim: a file below tests/ and the name of a test in it, or its beginning."""

CLAIMS = rows(section("api.md", "Hosted tools"), "tool", "", "what holds")
CLIENTS = ("tool", "openai (Python)", "openai-agents", "LangChain", "Vercel AI SDK")
WORDS_IN_TESTS = {"custom tools": "custom", "apply_patch": "patch", "skills": "skill", "mcp": "mcp"}
ALIASES = re.compile(r"_\d{4}_|_preview|programmatic|^function$")


def is_test(where: str) -> bool:
    file, _, name = where.partition("::")
    return re.search(rf"^(async )?def test_{name}", (CHECKOUT / "tests" / file).read_text(), re.M) is not None


def test_each_tool_that_is_served_has_all_three_rows() -> None:
    served = [tool for tool, each in TOOLS.items() if each.status != "refused" and not ALIASES.search(tool)]
    listed = {tool: {kind for each, kind, _ in CLAIMS if each == tool} for tool, _, _ in CLAIMS}
    assert set(listed) == set(served)
    assert {tool: kinds for tool, kinds in listed.items() if kinds != {"here", "differs", "configure"}} == {}


@pytest.mark.parametrize("claim", sorted({(tool, kind) for tool, kind, _ in CLAIMS if kind != "configure"}))
def test_each_claim_is_that_of_a_test(claim: tuple[str, str]) -> None:
    tests = SHOWN_BY[claim]
    assert len(tests) >= sum((tool, kind) == claim for tool, kind, _ in CLAIMS)
    assert [where for where in tests if not is_test(where)] == []


def test_each_setting_that_is_named_is_one() -> None:
    settings = (CHECKOUT / "docs" / "configuration.md").read_text()
    named = {name for *_, claim in CLAIMS for name in re.findall(r"AGENT_KERNEL_\w+", claim)}
    assert len(named) > 8
    assert {name for name in named if f"`{name}`" not in settings} == set()


def said_by(file: Path) -> str:
    """A test's text with that of the scripts which it runs, in one spelling."""
    text = file.read_text()
    scripts = [CHECKOUT / "tests" / "clients" / name for name in re.findall(r"[\w/-]+\.mjs", text)]
    whole = text + "".join(each.read_text() for each in scripts if each.is_file())
    return whole.replace("_", "").lower()


@pytest.mark.parametrize(
    "row", rows(section("clients.md", "Anything else"), *CLIENTS), ids=lambda row: str(row[0])
)
def test_each_client_in_the_table_has_its_test(row: list[str]) -> None:
    tool, *cells = row
    word = WORDS_IN_TESTS.get(tool, tool).replace("_", "")
    for cell in cells:
        link = re.fullmatch(r"\[test\]\(\.\./(.+)\)", cell)
        if link is None:
            assert tool == "image_generation", "say why it cannot be"
        else:
            assert word in said_by(CHECKOUT / link[1]), f"{link[1]} does not name {word}"
