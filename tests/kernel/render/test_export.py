"""A notebook exported with each answer first, as a browser shows and prints it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import nbformat
import pytest
from playwright.sync_api import expect

from agent_kernel.kernel.export import AgentExporter, answers_first
from tests.kernel import lab
from tests.kernel.extension.records import bundles, message, output, shell_call, shell_output

WORK = (shell_call("echo counted", "ls"), shell_output("three\n"))


def notebook(*outputs: Any, **metadata: Any) -> Any:
    made = nbformat.v4.new_notebook(metadata=metadata)  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell("ask", outputs=list(outputs))  # type: ignore[no-untyped-call]
    made.cells.append(nbformat.from_dict(cell))  # type: ignore[no-untyped-call]
    return made


def record(seconds: float = 4.2) -> list[dict[str, Any]]:
    shown = [*bundles(*WORK, seconds=seconds), *bundles(message("It is **three**."))]
    return [output(bundle) for bundle in shown]


def exported(made: Any) -> str:
    page, _ = AgentExporter().from_notebook_node(made)  # type: ignore[no-untyped-call]
    return str(page)


def test_the_work_is_folded_to_a_line_below_the_answer() -> None:
    made = notebook(*record())
    before = json.dumps(made)
    answer, line = answers_first(made).cells[0].outputs
    assert "three" in answer["data"]["text/plain"]
    assert "2 commands, 4 s</summary>" in line["data"]["text/html"]
    assert json.dumps(made) == before


def test_a_notebook_that_shows_its_work_is_exported_as_it_is() -> None:
    made = notebook(*record(), agent_kernel={"show_work": True})
    assert answers_first(made) == made


@pytest.mark.parametrize("kept", [[], record()[:2], record()[2:]])
def test_outputs_without_answer_or_work_stay_as_they_are(kept: list[dict[str, Any]]) -> None:
    made = notebook(*kept, agent_kernel="not an object")
    assert answers_first(made) == made


@pytest.mark.parametrize("forged", [None, 7, [], {"type": []}, {"type": "shell_call", "action": 1}])
def test_a_forged_record_is_exported_too(forged: Any) -> None:
    outputs = record()
    outputs[0]["data"]["application/vnd.agent-kernel.item+json"] = forged
    outputs[1]["metadata"] = {"agent_kernel": {"seconds": [None, "x", float("inf"), True, {}]}}
    del outputs[1]["data"]["text/html"]
    outputs[1]["data"]["text/plain"] = "<script>top.__ran = 1</script>"
    page = exported(notebook(*outputs))
    assert "three" in page
    assert "<script>top.__ran" not in page


@pytest.mark.browser
def test_a_browser_unfolds_the_work_and_prints_it_folded(missing: Callable[[str], NoReturn]) -> None:
    if lab.CHROMIUM is None:
        missing("There is no Chromium. Install it with: apt-get install chromium")
    with lab.SHARED.browser().new_page() as page:
        page.set_content(exported(notebook(*record())), wait_until="domcontentloaded")
        work, line = page.get_by_text("echo counted"), page.get_by_text("2 commands, 4 s")
        for media in ("screen", "print"):
            page.emulate_media(media=media)
            expect(page.get_by_text("It is three.")).to_be_visible()
            expect(line).to_be_visible()
            expect(work).to_be_hidden()
        line.click()
        expect(work).to_be_visible()
