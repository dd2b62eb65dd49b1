"""A conversation as a Markdown page: what a reader sees, and that hostile text stays text."""

from __future__ import annotations

from markdown_it import MarkdownIt

from agent_kernel.conversion.exchanges import exchanges
from agent_kernel.conversion.markdown import HEAD, to_markdown
from tests.conversion.rows import PIXEL, PIXEL_URL, answer, code, message, printed, shell, turn

ROWS = [
    turn(
        1,
        [message("user", "What is *in* `a.csv`?\nAll of it.")],
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look first."}]},
            shell("wc -l a.csv", "cat b.csv"),
            printed(("7 a.csv\n", "", 0), ("", "No such file", 1)),
            code("plot()", "drawn\n", pictures=[PIXEL_URL]),
            answer("**Seven** lines."),
        ],
    ),
    turn(
        2,
        [message("user", "ls")],
        [shell("ls", call_id="call_2"), printed(("a.csv\n", "", 0), call_id="call_2")],
        model="agent_kernel/shell",
    ),
    turn(
        3,
        [message("user", "Go on.")],
        [answer("I")],
        status="incomplete",
        response={"incomplete_details": {"reason": "agent_kernel.cancelled"}},
    ),
]


def test_page_has_prompts_folded_work_and_answers() -> None:
    page = to_markdown(ROWS, "penguins", "page_files")
    text = page.text
    assert text.startswith("# penguins\n\nchat/m · 2025-10-09 · 3 turns · 300 tokens\n")
    assert "## 1. What is \\*in\\* \\`a.csv\\`?\n\n> What is *in* `a.csv`?\n> All of it.\n" in text
    assert "<summary>2 commands, 1 piece of code</summary>" in text
    assert "```bash\nwc -l a.csv\n```\n\n```text\n7 a.csv\n```" in text
    assert "*exit 1*" in text
    assert "</details>\n\n![picture-1.png](page_files/picture-1.png)\n\n**Seven** lines.\n" in text
    assert "## 2. You ran ls\n\n```bash\nls\n```" in text
    assert "## 3. Go on.\n\nI\n\n*This turn ended early: cancelled.*" in text
    assert page.pictures == {"picture-1.png": PIXEL}


def test_markup_and_open_fences_of_a_model_stay_text() -> None:
    rows = [
        turn(
            1,
            [message("user", "</details><script>alert(1)</script>")],
            [
                shell("cat <<'EOF'\n```\n</details>\nEOF"),
                printed(("```\n# not a heading\n", "", 0)),
                answer("<img src=x onerror=alert(1)>\n\n~~~~\nopen"),
            ],
        ),
        turn(2, [message("user", "Next")], [answer("Still here")]),
    ]
    html = MarkdownIt("commonmark").render(to_markdown(rows).text)
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("<details>") == html.count("</details>") == 1
    assert html.count("<h2>") == 2
    assert "<p>Still here</p>" in html


def test_long_output_is_shortened_with_a_count() -> None:
    lines = "".join(f"line {number}\n" for number in range(200))
    rows = [turn(1, [message("user", "Count")], [shell("seq"), printed((lines, "", 0)), answer("Done.")])]
    text = to_markdown(rows).text
    assert "[… 160 more lines …]" in text
    assert f"line {HEAD - 1}\n" in text
    assert f"line {HEAD}\n" not in text
    assert "line 199\n" in text


def test_approved_call_belongs_to_the_prompt_that_asked() -> None:
    request = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "agent_kernel",
        "name": "shell",
        "arguments": "{}",
        "agent_kernel": {"call_id": "call_1", "item_id": "sh_call_1"},
    }
    given = {
        "type": "mcp_approval_response",
        "id": "m",
        "approval_request_id": "mcpr_1",
        "approve": True,
    }
    rows = [
        turn(1, [message("user", "Remove it.")], [shell("rm x"), request]),
        turn(2, [given], [printed(("", "", 0)), answer("Removed.")]),
    ]
    [found] = exchanges(rows)
    assert [(step.code, step.ended) for step in found.steps] == [("rm x", "")]
    assert (found.prompt, found.answer, found.tokens) == ("Remove it.", "Removed.", 200)


def test_code_that_raised_says_so_with_and_without_outputs() -> None:
    logs = "Traceback (most recent call last):\n  File x\nValueError: no\n"
    whole = {**code("f()"), "agent_kernel": {"outputs": [_error("KeyError", "'b'\nmore")]}}
    rows = [turn(1, [message("user", "Run")], [code("g()", logs), whole])]
    assert [step.ended for step in exchanges(rows)[0].steps] == ["ValueError: no", "KeyError: 'b'"]


def _error(name: str, value: str) -> dict[str, object]:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": [f"{name}: {value}"]}
