"""The forms of the extension: models, network, container and policy, as the `%` lines have them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.panel.source import PanelSource
from tests.kernel.client import RENEW, Notebook
from tests.kernel.panel.page import Page
from tests.kernel.panel.test_panel import refused

pytestmark = pytest.mark.bubblewrap

RULES = [{"action": "ask", "command": "rm *"}, {"action": "deny", "host": "example.org"}]


@pytest.fixture(autouse=True)
def renewed(kernel: Notebook) -> None:
    kernel.run(RENEW)


def test_rules_are_said_as_by_the_line(page: Page, kernel: Notebook) -> None:
    shown = page.result("set", {"approval": {"default": "auto", "rules": RULES}})
    assert shown["rules_in_words"] == [
        "You are asked before `rm …`.",
        "Connections to `example.org` are refused.",
        "All other commands run.",
    ]
    assert shown["operator_in_words"] == ["All commands run."]
    assert shown["approval_in_words"] in kernel.run("%approve").plain[0]
    kernel.run("%approve allow git status")
    assert page.result("settings")["rules_in_words"][0] == "`git status` runs without asking."


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"action": "ask", "command": "*"}, "a rule's command matches every command"),
        ({"action": "ask"}, "a rule matches nothing"),
        ({"action": "deny", "host": "not a host"}, "a rule's host"),
    ],
)
def test_bad_rule_is_refused_at_its_field(page: Page, rule: dict[str, Any], said: str) -> None:
    answer = page.ask("set", {"approval": {"default": "auto", "rules": [rule]}})
    assert said in refused(answer)
    assert answer["error"]["field"] == "rule"
    assert page.result("settings")["approval"]["rules"] == []


def test_bad_limit_is_refused_at_its_field(page: Page) -> None:
    for limit in ("tokens", "seconds", "tool_calls"):
        answer = page.ask("set", {"budget": {limit: "many"}})
        assert answer["error"]["field"] == limit
    answer = page.ask("new_container", {"cpus": "many"})
    assert (answer["error"]["field"], refused(answer)) == ("cpus", "cpus must be a number, not 'many'.")
    answer = page.ask("new_container", {"memory": "7g"})
    assert answer["error"]["field"] == "memory_limit"


def test_fingerprint_changes_with_the_settings_only(page: Page, kernel: Notebook) -> None:
    before = page.result("state")["settings"]
    kernel.run("!true")
    assert page.result("state")["settings"] == before
    kernel.run("%budget tokens=7")
    assert page.result("state")["settings"] != before
    kernel.run("%budget --clear\n%network off")
    assert page.result("state")["settings"] != before


def test_models_are_those_of_the_line(page: Page, kernel: Notebook) -> None:
    listed = page.result("models")["models"]
    assert listed
    assert all(name in kernel.run("%model").plain[0] for name in listed)
    assert page.result("test_model") == {"known": False}
    assert "AGENT_KERNEL_UPSTREAM_URL" in page.ask("test_model", {"model": "chat/small"})["error"]["hint"]
    assert "spaces" in refused(page.ask("test_model", {"model": "two words"}))
    assert page.result("settings")["model"] != "chat/small"


def test_network_stays_within_what_the_operator_allows(page: Page, kernel: Notebook) -> None:
    shown = page.result("network")
    assert (shown["type"], shown["hosts"]) == ("disabled", [])
    assert shown["operator_in_words"] == "The operator offers: no network."
    assert "operator" in refused(page.ask("set_network", {"type": "allowlist", "hosts": ["example.org"]}))
    assert refused(page.ask("set_network", {"type": "allowlist", "hosts": []})) == "Name a host."
    assert refused(page.ask("set_network", {"type": "allowlist", "hosts": [["a"]]}))
    assert refused(page.ask("set_network", {"type": "open"}))
    assert page.result("set_network", {"type": "disabled"})["in_words"] == "Allowed: no network."
    assert "no network" in kernel.run("%network").plain[0]


def test_container_is_replaced_between_cells_only(page: Page, kernel: Notebook) -> None:
    kernel.run("!echo kept > kept.txt")
    before = page.result("container")["rows"]
    sent = kernel.send("wait for ever", cell_id="cell-1")
    page.state(lambda state: state["cell"] is not None)
    for name in ("new_container", "reset_shell", "variables"):
        assert refused(page.ask(name)) == "A cell is running."
    assert page.result("set", {"budget": {"tokens": 5}})["budget"] == {"tokens": 5}
    page.result("stop")
    kernel.reply(sent)
    assert page.result("reset_shell")["rows"][0] == before[0]
    assert "kept" in kernel.run("!cat kept.txt").plain[-1]
    assert page.result("new_container")["rows"][0] != before[0]
    assert "No such file" in kernel.run("!cat kept.txt").plain[-1]


def test_variables_are_those_of_the_lines(page: Page, kernel: Notebook) -> None:
    assert page.result("variables") == {"session": False, "rows": [], "also": ""}
    kernel.run(
        "%%python\nimport pandas as pd\nsales = pd.DataFrame({'city': ['<b>', 'B'], 'sum': [1.5, None]})"
    )
    kernel.run("%%python\nevil = '<img src=x>\\u202e\\x1b]0;title\\x07'")
    rows = {row[0]: row for row in page.result("variables")["rows"]}
    assert rows["sales"][1:3] == ["DataFrame", "2 × 2"]
    assert "\u202e" not in rows["evil"][4]
    assert "\x1b" not in rows["evil"][4]
    shown = page.result("table", {"name": "sales", "rows": 100})
    assert shown["columns"] == [["city", "object"], ["sum", "float64, 1 missing"]]
    assert shown["rows"][0] == ["<b>", "1.5"]
    assert "not a table" in refused(page.ask("table", {"name": "evil", "rows": 5}))
    assert "no variable" in refused(page.ask("table", {"name": "gone", "rows": 5}))
    assert refused(page.ask("table", {"name": "x" * 500, "rows": 5}))


async def test_look_into_the_session_ends_when_a_cell_begins() -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    source = PanelSource(None, stop=lambda: None, cell=lambda: None, view=lambda: None)  # type: ignore[arg-type]
    looking = asyncio.create_task(source.look(slow))
    await asyncio.sleep(0)
    source.cell_begins()
    with pytest.raises(InvalidRequest, match="A cell is running"):
        await looking
