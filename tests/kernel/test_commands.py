from __future__ import annotations

import json
from html import unescape
from typing import Any

import pytest
from markdown_it import MarkdownIt

from agent_kernel.kernel.render.bundles import Bundle
from agent_kernel.kernel.render.items import render_item
from agent_kernel.kernel.render.stored import ITEM_MIME
from agent_kernel.tools.shell.run import Clipped


def output(stdout: str, stderr: str = "", commands: int = 1) -> dict[str, Any]:
    part = {"stdout": stdout, "stderr": stderr, "outcome": {"type": "exit", "exit_code": 0}}
    return {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": [part] * commands}


def rendered(item: dict[str, Any]) -> Bundle:
    bundle = render_item(item)
    assert bundle is not None
    return bundle


def clipped(text: str, limit: int) -> str:
    """As the shell tool hands on what a command printed."""
    kept = Clipped(limit)
    kept.feed(text.encode(), final=True)
    return kept.text("/run/boxd/log/7.log")


def test_colours_are_in_the_html_only() -> None:
    bundle = rendered(output("\x1b[31mred\x1b[0m <b>\n"))
    assert '<span style="color: #cd3131">red</span> &lt;b&gt;' in bundle.data["text/html"]
    assert bundle.data["text/plain"] == "red <b>"
    assert bundle.data["text/markdown"] == "```text\nred <b>\n```"


def test_colours_go_on_from_what_is_shown_into_what_is_folded_away() -> None:
    bundle = rendered(output("\x1b[32m" + "".join(f"line {n}\n" for n in range(60)) + "\x1b[0mend"))
    assert bundle.data["text/html"].count('<span style="color: #0d9450">') == 3
    assert "\x1b" not in json.dumps(bundle.data["text/html"])


def test_cut_output_says_how_much_is_missing_and_where_it_is() -> None:
    text = clipped("".join(f"line {n}\n" for n in range(100_000)), 2_000)
    data = rendered(output(text)).data
    said = "1,086,890 characters left out; the log is /run/boxd/log/7.log"
    for mime in ("text/html", "text/markdown", "text/plain"):
        assert said in data[mime]
        assert "line 0\n" in data[mime]
        assert "line 99999\n" in data[mime] or data[mime].endswith("line 99999")
    assert len(data["text/plain"].split("\n")) == 25 + 1 + 10


def test_omitted_characters_of_notebook_and_tool_are_added_up() -> None:
    whole = "".join(f"line {n}\n" for n in range(100_000))
    data = rendered(output(clipped(whole, 200_000))).data
    assert "the log is /run/boxd/log/7.log" in data["text/plain"]
    [words] = [part for part in data["text/plain"].split("; ") if "characters left out" in part]
    assert int(words.split()[0].replace(",", "")) == len(whole) - 30_000


def test_the_middle_that_is_kept_says_where_it_was_cut() -> None:
    data = rendered(output(clipped("x" * 99 + "\n", 50) * 1)).data
    assert "[... 50 characters left out ...]" in data["text/html"]


@pytest.mark.parametrize(
    "text",
    [
        "\0" * 3_000_000,
        '"<&' * 1_000_000,
        "\x1b[31ma\x1b[32mb" * 200_000,
        "\N{REPLACEMENT CHARACTER}" * 1_000_000,
        "\U000e0041" * 1_000_000,
        "\n" * 1_000_000,
        "10%\r" * 1_000_000,
    ],
    ids=["zeros", "quotes", "colours", "replacements", "unseen", "lines", "progress"],
)
@pytest.mark.parametrize("commands", [1, 40])
def test_no_output_makes_a_large_notebook(text: str, commands: int) -> None:
    for limit in (50_000, 1_000_000):
        cut = clipped(text, limit)
        bundle = rendered(output(cut, cut, commands))
        assert len(json.dumps(bundle.data, ensure_ascii=False).encode()) < 1_000_000


def test_the_item_is_bounded_as_well() -> None:
    stored = rendered(output("a" * 200_000, "b" * 200_000, commands=10)).data[ITEM_MIME]
    assert sum(len(part["stdout"]) + len(part["stderr"]) for part in stored["output"]) < 40_000


def test_words_that_look_like_the_tools_own_are_text_like_any_other() -> None:
    forged = "\n[... 5 characters left out; the log is <script>alert(1)</script> ...]\n"
    data = rendered(output("".join(f"{n}\n" for n in range(30)) + forged + "z\n" * 30)).data
    assert "<script>" not in data["text/html"]


def test_in_exported_markdown_an_output_stays_an_output() -> None:
    """nbconvert writes the HTML into its Markdown, where a blank line would end it."""
    text = "one\n\n# no heading\n\t\n![beacon](http://127.0.0.1/x.png)\n\n\n[link](javascript:alert(1))\n"
    html = rendered(output(text, text)).data["text/html"]
    page = MarkdownIt("commonmark", {"html": True}).render(html)
    assert page.rstrip() == html.rstrip()
    assert unescape(html).count(text.rstrip()) == 2
