from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent_kernel.kernel.render.markdown import to_html, to_safe_markdown

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![beacon](http://127.0.0.1/leak.png)",
    "\\![beacon](http://127.0.0.1/leak.png)",
    "\\\\![beacon](http://127.0.0.1/leak.png)",
    "![ref][r]\n\n[r]: http://127.0.0.1/leak.png",
    "[x](javascript:alert(1))",
    "[x](JavaScript\\:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](&#106;avascript:alert(1))",
    "[x](java&Tab;script:alert(1))",
    "[x]\n\n[x]: javascript:alert(1)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "`code` <b onmouseover=alert(1)>x</b>",
    "```\n<script>in a fence</script>\n```\n<script>after it</script>",
    "~~~\n```\n~~~\n<script>x</script>\n```",
    "> ```\n<script>x</script>\n```",
    "- ```\n<script>x</script>",
    "````\n```\n<script>x</script>\n````\n<script>y</script>",
    "``` `x\n<script>alert(1)</script>\n```",
    "&lt;script&gt;",
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "<!-- --><iframe src=http://127.0.0.1/>",
]


class Markup(HTMLParser):
    """Collects what would act: tags outside of a small set, and addresses."""

    HARMLESS = frozenset(
        [
            "p",
            "strong",
            "em",
            "code",
            "pre",
            "a",
            "ul",
            "ol",
            "li",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "blockquote",
            "hr",
            "br",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "s",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.acting: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.HARMLESS:
            self.acting.append(tag)
        for name, value in attrs:
            if name.startswith("on") or (name == "src"):
                self.acting.append(name)
            if name == "href" and self.leads_elsewhere(value or ""):
                self.acting.append(f"{name}={value}")

    @staticmethod
    def leads_elsewhere(address: str) -> bool:
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", re.sub(r"[\x00-\x20]", "", address))
        return scheme is not None and scheme[1].lower() not in ("http", "https", "mailto")


def acting(html: str) -> list[str]:
    markup = Markup()
    markup.feed(html)
    markup.close()
    return markup.acting


def permissive(markdown: str) -> str:
    """A front end that renders Markdown with everything allowed."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    rendered: str = parser.render(markdown)
    return rendered


@pytest.mark.parametrize("text", HOSTILE)
def test_html_of_a_hostile_answer_is_harmless(text: str) -> None:
    assert acting(to_html(text)) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_harmless_in_a_permissive_renderer(text: str) -> None:
    assert acting(permissive(to_safe_markdown(text))) == []


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "<b>",
            "</b>",
            "<img_src=x>",
            "```",
            "~~~",
            "`",
            "``",
            ">",
            "-",
            "1.",
            "\\",
            "![",
            "[x](",
            "javascript:",
            "](",
            ")",
            "[x]:",
            "&#60;",
            "&lt;",
            "<!--",
            "text",
            "\\`",
            "<a_href=javascript:x>",
            "_",
            "____",
        ]
    ).map(lambda fragment: fragment.replace("_", " "))
    | st.sampled_from(["\n", "\n\n", "\t"]),
    max_size=14,
).map("".join)


@given(FRAGMENTS)
def test_no_combination_of_fragments_acts(text: str) -> None:
    assert acting(to_html(text)) == []
    assert acting(permissive(to_safe_markdown(text))) == []


def test_an_ordinary_answer_stays_as_it_is() -> None:
    text = "# Title\n\nA **bold** claim, R&D, a < b, [a link](https://example.com)."
    text += "\n\n```python\nif a < b: <c>\n```"
    assert to_safe_markdown(text) == text
    assert '<a href="https://example.com">a link</a>' in to_html(text)


def test_a_table_becomes_a_table() -> None:
    assert "<table>" in to_html("| a | b |\n|---|--:|\n| 1 | 2 |")
