"""The requests of the first-run page, to real kernels: one that is ready, and one that lacks everything."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.panel.page import Page
from tests.kernel.running import running

pytestmark = pytest.mark.bubblewrap

KEY = "sk-secret-of-the-tests"


@pytest.fixture(scope="module")
def bare(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a kernel without a toolbox, whose model's server does not answer."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = {
            "AGENT_KERNEL_MODEL": "chat/some",
            "AGENT_KERNEL_UPSTREAM_URL": f"http://127.0.0.1:{unused.getsockname()[1]}/v1",
            "AGENT_KERNEL_UPSTREAM_KEY": KEY,
        }
        folder = tmp_path_factory.mktemp("bare")
        with running(jupyter_path, folder, "agent-bare", **settings) as notebook:
            page = Page(notebook)
            yield page
            page.close()


def test_quick_readiness_of_a_ready_kernel(page: Page) -> None:
    found = page.result("readiness", {"quick": True})
    names = [check["name"] for check in found["checks"]]
    assert found["ready"]
    assert names[:3] == ["Python", "data folder", "sandbox"]
    assert "packages" not in names  # no sandbox was started to list them
    assert page.result("state")["container"]["id"] is None


def test_readiness_names_what_is_missing_without_the_key(bare: Page) -> None:
    found = bare.result("readiness")
    missing = {check["name"]: check for check in found["checks"] if check["needed"] and not check["ok"]}
    assert not found["ready"]
    assert set(missing) == {"bubblewrap", "model server"}
    assert all(check["hint"] for check in missing.values())
    assert KEY not in json.dumps(found)


def test_preparation_shows_its_steps_and_can_be_cancelled(bare: Page) -> None:
    bare.say({"version": 1, "id": "prepare", "request": "prepare", "arguments": {}})
    bare.state(lambda state: bool(state["preparing"]))
    bare.result("cancel_prepare")
    answer = bare.until(lambda data: data.get("reply") == "prepare")
    assert "cancelled" in answer["error"]["message"]
    assert bare.result("state")["preparing"] is None


def test_preparation_of_a_ready_sandbox_ends_at_once(page: Page) -> None:
    assert page.result("prepare") == {}


def test_example_has_its_data_and_no_outputs(page: Page) -> None:
    example = page.result("example")
    assert example["name"].endswith(".ipynb")
    assert all(not cell.get("outputs") for cell in example["notebook"]["cells"])
    assert [file["path"] for file in example["files"]] == ["data/penguins.csv"]


@pytest.mark.parametrize("arguments", [{"quick": 1}, {"key": KEY}])
def test_malformed_questions_are_refused(page: Page, arguments: dict[str, object]) -> None:
    assert "error" in page.ask("readiness", arguments)
