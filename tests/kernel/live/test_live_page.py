"""The view's own page code in Chromium, driven without a kernel: what it draws, bounds and refuses to run."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def item(index: int, kind: str, *, call: str = "", done: bool = False) -> dict[str, Any]:
    return {"index": index, "kind": kind, "call": call, "done": done, "at": 0}


def tell(page: Page, *items: dict[str, Any], deltas: list[list[Any]] = [], first: int = 0) -> None:  # noqa: B006
    """Comes back when it has been drawn, which happens in the frame after."""
    message = {"first": first, "tokens": [3, 4], "items": list(items), "deltas": deltas}
    page.evaluate(
        "(message) => { window.hear(message); return new Promise(requestAnimationFrame); }", message
    )


def print_out(page: Page, text: str, end: int | None = None) -> None:
    out = item(0, "shell_call_output")
    tell(page, out, deltas=[[0, "stdout.0", len(text) if end is None else end, text]])


def lines(page: Page) -> list[str]:
    expect(page.locator(".agent-live-terminal")).to_have_count(1)
    return page.locator(".agent-live-line").all_inner_texts()


def written(page: Page, *texts: str) -> Any:
    """[text, class, colour] of each span of a terminal that these texts are written to."""
    return page.evaluate(
        """(texts) => {
          const terminal = new Terminal("", "", document.body);
          for (const text of texts) terminal.write(text);
          const spans = [...terminal.node.querySelectorAll("span")];
          const own = ({ style }) => style.getPropertyValue("--agent-own") || style.color;
          return spans.map((span) => [span.textContent, span.className, own(span)]);
        }""",
        texts,
    )


def test_colours_of_a_terminal(view: Page) -> None:
    assert written(view, "\x1b[1;31mred\x1b[0m plain") == [
        ["red", "agent-ansi-bold agent-ansi-fg-1", ""],
        [" plain", "", ""],
    ]
    assert written(view, "\x1b[38;5;9ma\x1b[38;5;208mb\x1b[38;2;1;2;3mc\x1b[39md") == [
        ["a", "agent-ansi-fg-9", ""],
        ["b", "agent-ansi-fg-own", "rgb(199, 106, 0)"],
        ["c", "", ""],
        ["d", "", ""],
    ]


def test_a_sequence_cut_in_two_is_one_and_others_are_dropped(view: Page) -> None:
    assert written(view, "a\x1b", "[3", "2mb\x1b]0;title", "\x07c\x1b[2J\x1b[Hd\x1b(Be") == [
        ["a", "", ""],
        ["bcde", "agent-ansi-fg-2", ""],
    ]
    assert written(view, "\x1b[31;99999mx\x1b[38;2;999;0;0my") == [
        ["x", "agent-ansi-fg-1", ""],
        ["y", "agent-ansi-fg-1", ""],
    ]
    assert written(view, "a\x07\u202eb") == [["a\\x07\\u202eb", "", ""]]


def test_inverse_and_struck_text(view: Page) -> None:
    assert written(view, "\x1b[7;31ma\x1b[27mb\x1b[48;5;7;9mc\x1b[38;2;7;7;9;29;7md\x1b[me") == [
        ["a", "", "rgb(255, 255, 255)"],
        ["b", "agent-ansi-fg-1", ""],
        ["c", "agent-ansi-strike", "rgb(0, 0, 0)"],
        ["d", "", "rgb(170, 170, 170)"],
        ["e", "", ""],
    ]
    assert written(view, "\x1b[38:2::20:90:200ma\x1b[?7mb") == [
        ["a", "agent-ansi-fg-own", "rgb(39, 104, 204)"],
        ["b", "agent-ansi-fg-own", "rgb(39, 104, 204)"],
    ]
    assert written(view, "\x1b[4:3;58:2::9:0:0ma\x1b[58;2;9;0;0;4:0mb\x1b[48:2:1:7:8:9;58:5:7mc") == [
        ["a", "agent-ansi-underline", ""],
        ["b", "", ""],
        ["c", "", "rgb(255, 255, 255)"],
    ]


def test_block_that_did_not_change_is_not_built_again(view: Page) -> None:
    kept = view.evaluate(
        """() => {
          const markdown = new Markdown(document.body);
          const node = document.body.lastChild;
          markdown.draw("one [a]\\n\\ntwo");
          const [one, two] = node.children;
          markdown.draw("one [a]\\n\\ntwo three");
          const first = [one === node.children[0], two === node.children[1]];
          markdown.draw("one [a]\\n\\ntwo three\\n\\n[a]: https://example.org/");
          return [...first, node.querySelectorAll("a").length, node.children.length];
        }"""
    )
    assert kept == [True, False, 1, 2]


def test_a_progress_bar_is_at_its_last_state(view: Page) -> None:
    print_out(view, " 10%\r 60%\r100%\r\nnext\r\n")
    assert lines(view) == ["100%", "next", ""]


def test_the_page_keeps_a_bounded_number_of_nodes(view: Page) -> None:
    text, end = "", 0
    for start in range(0, 6000, 500):
        text = "".join(f"line {n}\n" for n in range(start, start + 500))
        end += len(text)
        print_out(view, text, end)
        expect(view.locator(".agent-live-terminal")).to_contain_text(f"line {start + 499}")
    assert view.locator(".agent-live-line").count() <= 1000
    expect(view.locator(".agent-live-terminal")).to_contain_text("earlier lines are not shown")
    print_out(view, "x" * 500_000, end + 500_000)
    expect(view.locator(".agent-live-terminal")).to_contain_text("x" * 100)
    assert view.evaluate("document.body.textContent.length") < 100_000


def test_it_stays_at_the_end_unless_somebody_scrolled_up(view: Page) -> None:
    first = "".join(f"{n}\n" for n in range(200))
    print_out(view, first)
    pane = view.locator(".agent-live-terminal")
    expect(pane).to_contain_text("199")
    at_end = "(e) => e.scrollHeight - e.scrollTop - e.clientHeight < 2"
    assert pane.evaluate(at_end)
    pane.evaluate("(e) => new Promise((done) => { e.onscroll = () => done(); e.scrollTop = 0; })")
    print_out(view, "more\n", len(first) + 5)
    expect(pane).to_contain_text("more")
    assert pane.evaluate("(e) => e.scrollTop") == 0


def test_what_is_known_is_passed_over_and_a_gap_is_told(view: Page) -> None:
    """Positions count code points, as Python does."""
    print_out(view, "a\N{GRINNING FACE}b", 3)
    print_out(view, "\N{GRINNING FACE}bc", 4)
    print_out(view, "bc", 4)
    assert lines(view) == ["a\N{GRINNING FACE}bc"]
    print_out(view, "later", 100)
    expect(view.locator(".agent-live-terminal")).to_contain_text("earlier output is not shown")
    assert lines(view) == ["later"]


def test_a_state_mends_what_was_lost(view: Page) -> None:
    print_out(view, "one ")
    state = {**item(0, "shell_call_output"), "parts": [["stdout.0", 14, "one two three "]]}
    view.evaluate("(items) => window.sync({items})", [state])
    expect(view.locator(".agent-live-terminal")).to_contain_text("one two three")
    assert lines(view) == ["one two three "]


@pytest.mark.parametrize("text", ["", "ree"])
def test_a_state_without_room_drops_nothing(view: Page, text: str) -> None:
    print_out(view, "one two ")
    state = {**item(0, "shell_call_output"), "parts": [["stdout.0", 13, text]]}
    view.evaluate("(items) => window.sync({items})", [state])
    print_out(view, "three", 13)
    expect(view.locator(".agent-live-line")).to_have_text("one two three")


@pytest.mark.parametrize(
    ("end", "text"),
    [(14, "one two three "), (19, "one two three four "), (10, "one two th"), (19, "wo three four ")],
)
def test_a_state_fills_a_gap_before_newer_text(view: Page, end: int, text: str) -> None:
    """After a reconnection a delta may arrive before the state that has what was missed."""
    print_out(view, "one ")
    print_out(view, "three ", 14)
    expect(view.locator(".agent-live-terminal")).to_contain_text("earlier output is not shown")
    state = {**item(0, "shell_call_output"), "parts": [["stdout.0", end, text]]}
    view.evaluate("(items) => window.sync({items})", [state])
    whole = "one two three four "[: max(end, 14)]
    whole = whole if text.startswith("one") else whole.removeprefix("one t")
    expect(view.locator(".agent-live-line")).to_have_text(whole)
    expect(view.locator(".agent-live-quiet:visible", has_text="not shown")).to_have_count(
        0 if text.startswith("one") else 1
    )


@pytest.mark.parametrize(
    "command",
    [
        "for f in *.csv; do wc -l \"$f\" | head -n 1; done 2>/dev/null || echo 'none' # why",
        "python3 - <<'EOF'\nprint('if')\nEOF\necho ${HOME:-x} $? $((1 + 2))",
        'A=1 B="x y" cmd --flag=1 -v \'open',
        "cat <<E\nno end",
        '"open $x \\" ` ${unclosed',
        "</script><img src=x onerror=alert(1)>",
        "",
    ],
)
def test_the_words_of_a_command_are_all_there(view: Page, command: str) -> None:
    tokens = view.evaluate("(text) => shellTokens(text)", command)
    assert "".join(text for _, text in tokens) == command


def test_the_words_of_a_command_have_their_kinds(view: Page) -> None:
    command = "if [ -n \"$x\" ]; then grep -c if 'f' # note\nfi"
    tokens = [token for token in view.evaluate("(text) => shellTokens(text)", command) if token[0]]
    assert tokens == [
        ["keyword", "if"],
        ["command", "["],
        ["option", "-n"],
        ["string", '"$x"'],
        ["operator", ";"],
        ["keyword", "then"],
        ["command", "grep"],
        ["option", "-c"],
        ["string", "'f'"],
        ["comment", "# note"],
        ["keyword", "fi"],
    ]


def markdown(page: Page, text: str) -> str:
    html: str = page.evaluate(
        "(text) => new Markdown(document.body).draw(text) ?? document.body.lastChild.innerHTML", text
    )
    return html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** *c* `d*` ~~e~~", "<p>a <strong>b</strong> <em>c</em> <code>d*</code> <s>e</s></p>"),
        ("snake_case_name 2 * 3 * 4", "<p>snake_case_name 2 * 3 * 4</p>"),
        (
            "# T\n\ntext\n- a\n- b\n  - c",
            "<h1>T</h1><p>text</p><ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>",
        ),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("```py\nx = '<b>'\n", "<pre class=\"agent-live-code\"><code>x = '&lt;b&gt;'\n</code></pre>"),
        ("> a\n> b", "<blockquote><p>a\nb</p></blockquote>"),
        (
            "|a|b|\n|-|-|\n|1|2|",
            "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>",
        ),
        ("a  \nb \\* c", "<p>a<br>b * c</p>"),
        (
            "|a|\n|-:|\n|1|",
            '<table><thead><tr><th style="text-align: right;">a</th></tr></thead>'
            '<tbody><tr><td style="text-align: right;">1</td></tr></tbody></table>',
        ),
        ("<b> &amp; [x](/etc) [y]\n\n[y]: x:y", "<p>&lt;b&gt; &amp; <span>x</span> <span>y</span></p>"),
    ],
)
def test_markdown(view: Page, text: str, html: str) -> None:
    assert markdown(view, text) == html


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror='window.hostile=1'>",
        "![x](http://127.0.0.1:9/leak.png)",
        "[x](javascript:window.hostile=1) [x](JaVaScRiPt:window.hostile=1)",
        "[x](&#106;avascript:x) [x](\tjavascript:x)",
        "[x](data:text/html,x) [x](vbscript:x) [x](file:///etc/passwd) [x](blob:x) <javascript:x>",
        '<a href="x" data-commandlinker-command="terminal:create-new">x</a> <iframe srcdoc="x">',
        "```<script>window.hostile=1</script>\n<script>window.hostile=1</script>",
        "|<img src=x onerror=window.hostile=1>|b|\n|-|-|\n|<svg onload=window.hostile=1>|2|",
        "> " * 50 + "deep",
        "".join("  " * n + "- deep\n" for n in range(50)),
        "**" * 5000 + "[" * 5000 + "`" * 5000,
    ],
)
def test_no_markdown_makes_more_than_text(view: Page, text: str) -> None:
    asked: list[str] = []
    view.on("request", lambda request: asked.append(request.url))
    markdown(view, text)
    made = view.evaluate(
        """() => [...document.body.lastChild.querySelectorAll("*")].flatMap((e) =>
             [e.tagName, ...e.getAttributeNames()])"""
    )
    assert not {"IMG", "SCRIPT", "IFRAME", "SVG", "BUTTON"} & set(made)
    assert not [name for name in made if name.startswith(("on", "data-")) or name == "src"]
    links = view.evaluate("[...document.links].map((link) => link.protocol)")
    assert set(links) <= {"http:", "https:", "mailto:"}
    assert view.evaluate("window.hostile") is None
    assert asked == []


def test_steps_before_the_model_is_asked(view: Page) -> None:
    status = view.locator(".agent-live-status")
    view.evaluate("window.hear({step: 'Starting the container'})")
    expect(status).to_contain_text("Starting the container ·")
    view.evaluate("window.hear({step: 'Uploading <b>sales</b>.csv'})")
    expect(status).to_contain_text("Uploading <b>sales</b>.csv ·")
    view.evaluate("window.sync({step: ''})")
    expect(status).to_contain_text("Thinking ·")
    view.evaluate("window.sync({step: 'Preparing'})")
    expect(status).to_contain_text("Preparing ·")


@pytest.mark.parametrize(
    ("outcome", "words", "bad"),
    [("exit 0", "0.2 s", False), ("exit 3", "exit 3 · 0.2 s", True), ("stopped", "stopped · 0.2 s", False)],
)
def test_outcome_of_a_command(view: Page, outcome: str, words: str, bad: bool) -> None:
    deltas = [[0, "outcome.0", len(outcome), outcome], [0, "seconds.0", 3, "0.2"]]
    tell(view, item(0, "shell_call_output"), deltas=deltas)
    expect(view.locator(".agent-live-outcome")).to_have_text(words)
    expect(view.locator(".agent-live-bad")).to_have_count(int(bad))


def test_the_view_is_told_to_screen_readers_once(view: Page) -> None:
    expect(view.get_by_role("status")).to_have_text("Thinking")
    print_out(view, "x\n")
    expect(view.get_by_role("status")).to_have_text("Running")
    expect(view.get_by_role("log", name="Output of command 1")).to_have_attribute("aria-live", "off")
    expect(view.locator(".agent-live-status")).to_contain_text("7 tokens")
    view.evaluate("() => window.sync({ended: true})")
    expect(view.get_by_role("status")).to_have_text("Ended")
    expect(view.get_by_text("%replay")).to_be_visible()
    expect(view.get_by_role("button", name="Stop")).to_be_hidden()
