"""Replays side by side: nothing that a model, a file or a prompt says becomes markup of the page."""

from __future__ import annotations

from html.parser import HTMLParser

from markdown_it import MarkdownIt

from agent_kernel.conversion.exchanges import exchanges
from agent_kernel.conversion.replay.page import ReplayColumn, to_markdown_page, to_page
from agent_kernel.conversion.replay.prompts import prompts_of
from tests.conversion.rows import PIXEL_URL, SHELL, answer, code, message, printed, shell, turn

BAD = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def columns() -> list[ReplayColumn]:
    rows = [
        turn(
            1,
            [message("user", BAD)],
            [
                shell(BAD),
                printed((BAD, BAD, 1)),
                code("p()", pictures=[PIXEL_URL]),
                answer(f"{BAD} [x](javascript:y)"),
            ],
        )
    ]
    whole = ReplayColumn(BAD, exchanges(rows), [1.0], {BAD: 5}, "")
    return [whole, ReplayColumn("none", [], [], {}, f"It failed: {BAD}")]


def test_page_has_no_markup_of_others_and_loads_nothing() -> None:
    text = to_page(BAD, [BAD], columns())
    tags = _Tags()
    tags.feed(text)
    assert not {tag for tag, _ in tags.seen} & {"script", "iframe", "link", "object", "form"}
    images = [given for tag, given in tags.seen if tag == "img"]
    assert [image["src"] for image in images] == [PIXEL_URL]
    assert not [name for _, given in tags.seen for name in given if name.startswith("on")]
    assert not [given for tag, given in tags.seen if tag == "a" and "javascript" in str(given.get("href"))]
    assert "\x1b" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert "It failed:" in text


def test_markdown_page_shows_turns_that_were_not_reached() -> None:
    text = to_markdown_page("people", ["Count", "How old?"], columns())
    tags = _Tags()
    tags.feed(MarkdownIt("commonmark").render(text))
    assert not {tag for tag, _ in tags.seen} & {"script", "img", "a"}
    assert text.count("*not reached*") == 1
    assert text.count("*It failed:") == 2


def test_requests_of_a_replay_name_its_model_and_container() -> None:
    request = {"instructions": "Be brief.", "tools": [SHELL], "agent_kernel": {"budget": {"tokens": 9}}}
    rows = [
        turn(1, [message("developer", "Told."), message("user", "Count")], [answer("7")], request=request),
        turn(2, [message("user", "ls")], [], model="agent_kernel/shell", request={"tools": [SHELL]}),
        turn(3, [{"type": "function_call_output", "id": "x", "call_id": "c", "output": "y"}], [answer("8")]),
    ]
    first, second = prompts_of(rows)
    asked = first.request("chat/other", "cntr_9", None)
    assert asked["model"] == "chat/other"
    assert asked["tools"][0]["environment"] == {"type": "container_reference", "container_id": "cntr_9"}
    assert [item["role"] for item in asked["input"]] == ["developer", "user"]
    assert (asked["instructions"], asked["agent_kernel"]) == ("Be brief.", {"budget": {"tokens": 9}})
    assert "previous_response_id" not in asked
    assert second.request("chat/other", "cntr_9", "resp_1")["model"] == "agent_kernel/shell"
