from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.kernel.render.bundles import note, notice, table
from agent_kernel.kernel.render.endings import turn_ending
from agent_kernel.kernel.render.items import render_item
from agent_kernel.kernel.render.stored import ITEM_MIME
from agent_kernel.protocol.calls import RejectedCall, rejected_item

HOSTILE = "</pre><script>alert(1)</script>\"' onclick=x <img src=x onerror=alert(1)> ```\n\x1b[31m"


def message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [{"container_id": "cntr_1"}]}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def reasoning(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}


def shell_call(*commands: str) -> dict[str, Any]:
    return {
        "type": "shell_call",
        "id": "sh_1",
        "call_id": "call_1",
        "status": "completed",
        "action": {"commands": list(commands), "timeout_ms": None, "max_output_length": None},
        "environment": {"type": "container_reference", "container_id": "cntr_1"},
    }


def shell_output(stdout: str, stderr: str = "", outcome: Any = None) -> dict[str, Any]:
    outcome = {"type": "exit", "exit_code": 0} if outcome is None else outcome
    output = [{"stdout": stdout, "stderr": stderr, "outcome": outcome}]
    return {
        "type": "shell_call_output",
        "id": "sho_1",
        "call_id": "call_1",
        "status": "completed",
        "output": output,
    }


def code_call(text: str) -> dict[str, Any]:
    outputs = [{"type": "image", "url": text}, {"type": "logs", "logs": text}, text, {"type": text}]
    return {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "code": text,
        "container_id": "cntr_1",
        "outputs": outputs,
    }


def patch_call(text: str) -> dict[str, Any]:
    operation = {"type": "update_file", "path": text, "diff": f"@@ {text}\n-{text}\n+{text}\n"}
    item = {"type": "apply_patch_call", "id": "apc_1", "call_id": "c", "status": "completed"}
    return {**item, "operation": operation, "agent_kernel": {"move_to": text}}


def patch_output(text: str) -> dict[str, Any]:
    item = {"type": "apply_patch_call_output", "id": "apco_1", "call_id": "c"}
    return {**item, "status": "failed", "output": text}


def unknown(text: str) -> dict[str, Any]:
    return {"type": text or "x", "id": "x_1", "arguments": text}


ITEMS = [message, reasoning, shell_call, shell_output, code_call, patch_call, patch_output, unknown]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_of(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert not tags.open
    return tags


@pytest.mark.parametrize("make", ITEMS)
@given(text=st.one_of(st.just(HOSTILE), st.text(min_size=1)))
def test_no_item_can_bring_markup_of_its_own(make: Any, text: str) -> None:
    bundle = render_item(make(text))
    if bundle is None:
        return
    tags = tags_of(bundle.data["text/html"])
    assert not tags.tags & {"script", "img", "iframe", "style", "svg", "link", "object", "form", "input"}
    assert tags.attributes <= {"style", "href", "class", "start"}
    assert "\x1b" not in bundle.data["text/plain"] + bundle.data["text/html"] + bundle.data["text/markdown"]


@pytest.mark.parametrize("make", ITEMS)
def test_every_bundle_speaks_all_languages(make: Any) -> None:
    bundle = render_item(make("word"))
    assert bundle is not None
    assert set(bundle.data) == {"text/html", "text/markdown", "text/plain", ITEM_MIME}
    for mime in ("text/html", "text/markdown", "text/plain"):
        assert "word" in bundle.data[mime]


@pytest.mark.parametrize("make", ITEMS)
def test_what_differs_from_run_to_run_is_in_the_metadata_only(make: Any) -> None:
    item = make("word")
    bundle = render_item(item)
    assert bundle is not None
    stored = json.dumps(bundle.data)
    for particular in (item["id"], "call_1", "cntr_1"):
        assert particular not in stored
    assert bundle.metadata["agent_kernel"]["id"] == item["id"]


def test_the_container_of_a_call_is_in_the_metadata() -> None:
    bundle = render_item(shell_call("ls"))
    assert bundle is not None
    assert bundle.metadata["agent_kernel"] == {"id": "sh_1", "call_id": "call_1", "container_id": "cntr_1"}


def test_the_container_of_code_is_in_the_metadata() -> None:
    bundle = render_item(code_call("1"))
    assert bundle is not None
    assert bundle.metadata["agent_kernel"] == {"id": "ci_1", "container_id": "cntr_1"}


def test_the_item_is_kept_without_nulls() -> None:
    bundle = render_item(shell_call("ls"))
    assert bundle is not None
    assert bundle.data[ITEM_MIME] == {
        "type": "shell_call",
        "status": "completed",
        "action": {"commands": ["ls"]},
    }


def test_half_a_character_breaks_no_message() -> None:
    bundle = render_item(shell_output("half \ud800 of it", "\udcff"))
    assert bundle is not None
    assert json.dumps(bundle.data, ensure_ascii=False).encode("utf-8")


def test_encrypted_reasoning_is_not_kept_and_not_shown() -> None:
    assert (
        render_item({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AAAA"}) is None
    )
    bundle = render_item({**reasoning("hm"), "encrypted_content": "SECRETBLOB"})
    assert bundle is not None
    assert "SECRETBLOB" not in json.dumps([bundle.data, bundle.metadata])


def plain(item: dict[str, Any]) -> str:
    bundle = render_item(item)
    assert bundle is not None
    text: str = bundle.data["text/plain"]
    return text


def test_commands_as_they_would_be_typed() -> None:
    assert plain(shell_call("ls", "cat <<X\na\nX")) == "$ ls\n$ cat <<X\n> a\n> X"


def test_outcomes() -> None:
    assert plain(shell_output("a\n")) == "a"
    assert plain(shell_output("")) == "[no output]"
    assert plain(shell_output("a", "b", {"type": "exit", "exit_code": 3})) == "a\n[stderr]\nb\n[exit 3]"
    assert plain(shell_output("a", "", {"type": "timeout"})) == "a\n[timed out]"


def test_long_output_keeps_head_and_tail_and_folds_the_rest() -> None:
    bundle = render_item(shell_output("".join(f"line {n}\n" for n in range(1000))))
    assert bundle is not None
    assert "[... 965 more lines ...]" in bundle.data["text/plain"]
    assert "line 0\n" in bundle.data["text/plain"]
    assert "line 999" in bundle.data["text/plain"]
    assert "line 500" not in bundle.data["text/plain"]
    assert "<summary" in bundle.data["text/html"]
    assert "line 500" in bundle.data["text/html"]


def test_a_huge_output_does_not_bloat_the_notebook() -> None:
    bundle = render_item(shell_output("x" * 5_000_000, "y" * 5_000_000))
    assert bundle is not None
    assert len(json.dumps(bundle.data)) < 1_000_000


def test_refusals_are_said() -> None:
    item = {"type": "message", "id": "m", "content": [{"type": "refusal", "refusal": "No."}]}
    assert plain(item) == "The model declined: No."


def test_tables_escape_their_cells() -> None:
    bundle = table(["a|b", "<i>n</i>"], [["x`y|z", "1"], ["<script>", "22"], ["short"]]).bundle()
    assert tags_of(bundle.data["text/html"]).tags == {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert "\\|" in bundle.data["text/markdown"]
    assert bundle.data["text/plain"].split("\n")[1].endswith(" 1")


def test_notes_and_notices_are_markdown_of_the_kernels_own() -> None:
    assert "<code>x</code>" in note("Wrote `x`").data["text/html"]
    assert notice("**Mind** this").data["text/markdown"] == "> **Mind** this"


@pytest.mark.parametrize("name", ["bash", "", HOSTILE, "x" * 1000])
def test_rejected_call_is_one_line(name: str) -> None:
    bundle = render_item(
        rejected_item(RejectedCall("c", name, '{"command": "ls"}', "Not run: no such tool."))
    )
    assert bundle is not None
    plain = bundle.data["text/plain"]
    assert plain.startswith("The model called")
    assert "\n" not in plain
    assert len(plain) < 250
    assert "no such tool" in bundle.data["text/html"]
    assert "<script>" not in bundle.data["text/html"]


def test_other_mcp_calls_are_shown_as_any_item() -> None:
    item = {
        "type": "mcp_call",
        "id": "m",
        "server_label": "docs",
        "name": "find",
        "arguments": "{}",
        "output": "ok",
    }
    bundle = render_item(item)
    assert bundle is not None
    assert "find" in bundle.data["text/plain"]
    assert "ok" in bundle.data["text/plain"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("agent_kernel.cancelled", "stopped"),
        ("steered", "stopped, because you said something"),
        ("agent_kernel.max_seconds", "stopped"),
    ],
)
def test_a_stopped_command_in_words(reason: str, words: str) -> None:
    told = f"The command was stopped or not begun ({reason})."
    ended = {"type": "exit", "exit_code": 130}
    item = {
        "type": "shell_call_output",
        "status": "incomplete",
        "output": [{"stdout": "a\n", "stderr": f"b\n{told}", "outcome": ended}],
    }
    shown = render_item(item)
    assert shown is not None
    assert shown.data["text/plain"] == f"a\n[stderr]\nb\n[{words}]"
    assert told in shown.data[ITEM_MIME]["output"][0]["stderr"], "the record has the item as it was"


def test_a_command_cannot_say_it_was_stopped() -> None:
    told = "The command was stopped or not begun (agent_kernel.cancelled)."
    ended = {"type": "exit", "exit_code": 130}
    item = {
        "type": "shell_call_output",
        "status": "completed",
        "output": [{"stdout": "", "stderr": told, "outcome": ended}],
    }
    shown = render_item(item)
    assert shown is not None
    assert shown.data["text/plain"] == f"[stderr]\n{told}\n[exit 130]"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("max_output_tokens", "The answer was cut off here: it reached its limit of tokens."),
        ("their.own", "The answer was cut off here (`their.own`)."),
        ("", "The answer was cut off here. The server gave no reason."),
        (None, "The answer was cut off here. The server gave no reason."),
    ],
)
def test_an_early_end_of_a_turn_in_words(reason: str | None, words: str) -> None:
    assert turn_ending(reason) == words


def test_wide_output_scrolls_and_a_command_wraps() -> None:
    printed = render_item(shell_output("0.123456789 " * 40))
    called = render_item(shell_call("echo " + "word " * 100))
    assert printed is not None
    assert called is not None
    assert "white-space: pre; overflow-x: auto" in printed.data["text/html"]
    assert "white-space: pre-wrap" in called.data["text/html"]


def test_a_patch_is_a_coloured_diff_that_can_be_undone() -> None:
    shown = render_item(patch_call("a.py"))
    assert shown is not None
    assert shown.data["text/plain"] == "Change: a.py → a.py\n@@ a.py\n-a.py\n+a.py\n"
    assert shown.data["text/html"].count('<span style="background-color') == 2
    done = {**patch_output("Updated a.py (+1 -1)."), "status": "completed"}
    assert "%rewind" in plain(done)
    assert plain(patch_output("It does not fit.")) == "Not applied. It does not fit."
