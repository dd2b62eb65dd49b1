"""Calls of code in a notebook: what each output becomes, and that nothing of it is more than it seems."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from agent_kernel.kernel.render.bundles import Bundle
from agent_kernel.kernel.render.code import markup
from agent_kernel.kernel.render.code.display import pictures_seen
from agent_kernel.kernel.render.highlight.source import coloured
from agent_kernel.kernel.render.items import render_all
from agent_kernel.kernel.render.stored import ITEM_MIME
from agent_kernel.kernel.render.text import COLOUR
from tests.kernel.render.test_render import code_call, tags_of

MAGIC = b"\x89PNG\r\n\x1a\n"
PNG = base64.b64encode(MAGIC + b"x" * 40).decode()
URL = f"data:image/png;base64,{PNG}"


def call(*outputs: Any, code: str = "x") -> dict[str, Any]:
    """A call from a server of this project."""
    return {**code_call(code), "outputs": [], "agent_kernel": {"outputs": list(outputs)}}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def display(**data: Any) -> dict[str, Any]:
    given = {kind.replace("__", "/").replace("_", "+"): value for kind, value in data.items()}
    return {"output_type": "display_data", "data": given, "metadata": {}}


def shown(item: dict[str, Any]) -> list[Bundle]:
    return list(render_all(item))


def test_texts_and_displays_stay_in_order() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m: v"]}
    value = {"output_type": "execute_result", "data": {"text/plain": "42"}, "metadata": {}}
    item = call(stream("a\n"), stream("w\n", "stderr"), value, display(image__png=PNG), stream("b\n"), error)
    first, picture, last = shown(item)
    assert first.data["text/plain"] == ">>> x\na\n[stderr]\nw\n42"
    assert picture.data["image/png"] == PNG
    assert picture.metadata["image/png"] == {"alt": "picture", "needs_background": "light"}
    assert picture.metadata["agent_kernel"] == {"id": "ci_1", "container_id": "cntr_1"}
    assert last.data["text/plain"] == "b\nE: v"
    assert "\x1b" not in json.dumps([bundle.data for bundle in (first, picture, last)])


def test_a_standard_call_shows_logs_and_pictures() -> None:
    outputs = [{"type": "image", "url": URL}, {"type": "logs", "logs": "1\n"}]
    first, picture = shown({**code_call("x = 1\nx"), "outputs": outputs})
    assert first.data["text/plain"] == ">>> x = 1\n... x\n1"
    assert first.data["text/markdown"] == "```python\nx = 1\nx\n```\n\n```text\n1\n```"
    assert picture.data["image/png"] == PNG
    assert PNG not in json.dumps(first.data[ITEM_MIME])


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "http://127.0.0.1/x.png",
        f'{URL}" onerror="alert(1)',
        URL[:-3],
        7,
    ],
    ids=["svg", "address", "attribute", "cut", "number"],
)
def test_a_picture_that_is_none_is_not_embedded(url: Any) -> None:
    first, picture = shown({**code_call("x"), "outputs": [{"type": "image", "url": url}]})
    assert first.data["text/plain"] == ">>> x"
    assert set(picture.data) == {"text/html", "text/markdown", "text/plain"}
    assert "<img" not in picture.data["text/html"]


@pytest.mark.parametrize(("status", "words"), [("incomplete", "[not finished]"), ("failed", "[failed]")])
def test_code_that_did_not_run_to_its_end_says_so(status: str, words: str) -> None:
    (bundle,) = shown({**code_call("x"), "status": status, "outputs": None})
    assert bundle.data["text/plain"] == f">>> x\n{words}"


def test_stopped_code_says_so_once() -> None:
    interrupt = {"output_type": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": ["K"]}
    told = stream("The command was stopped or not begun (agent_kernel.cancelled).\n", "stderr")
    item = call(stream("a\n"), interrupt, told)
    (bundle,) = shown({**item, "status": "incomplete"})
    assert bundle.data["text/plain"] == ">>> x\na\n[stopped]"
    (printed,) = shown({**item, "status": "completed"})
    assert "not begun" in printed.data["text/plain"], "code can print the same"


PANDAS = """<div><style scoped>
    .dataframe tbody tr th { vertical-align: top; }
</style><table border="1" class="dataframe">
<thead><tr style="text-align: right;"><th></th><th>a</th></tr></thead>
<tbody><tr><th rowspan="2">0</th><td>1 &lt; 2</td></tr></tbody>
</table><p>1 rows &times; 1 columns</p></div>"""


def test_a_table_of_pandas_is_a_table_of_the_page() -> None:
    _, table = shown(call(display(text__html=PANDAS, text__plain="   a\n0  1")))
    html = table.data["text/html"]
    assert '<tr style="text-align: right"><th></th><th>a</th></tr>' in html
    assert '<th rowspan="2">0</th><td>1 &lt; 2</td>' in html
    assert tags_of(html).tags == {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert table.data["text/plain"] == "   a\n0  1"


OTHERS = [
    "<style>#T_1 { color: red }</style><table></table>",
    "<style>.dataframe {} </style",
    "<style>.dataframe {} * { background: url(x) }</style>",
    "<b>x</b",
    "<!-- x -->",
    "a < b",
    "<svg>",
    "<b x=\"'\" y='<'>",
]


@pytest.mark.parametrize("html", OTHERS)
def test_other_html_is_isolated(html: str) -> None:
    assert markup.shown_html(html).startswith('<iframe sandbox height="')


def test_only_frames_without_pictures_follow_dark_themes() -> None:
    style = "<style>td { color: red }</style>"
    assert f'class="{markup.PLAIN}"' in markup.shown_html(f"{style}<table></table>")
    for picture in ("<img src='data:image/png;base64,x'>", "<p style='background: url(data:x)'>", "<SVG>"):
        assert markup.PLAIN not in markup.shown_html(style + picture)


def test_attributes_of_harmless_tags_are_dropped() -> None:
    given = "<B onclick=x style='position: fixed; font-weight: bold' class=a>x<hr></B></p><i>"
    assert markup.shown_html(given) == '<b style="font-weight: bold">x<hr></b><i></i>'


def test_all_forms_have_a_safe_output() -> None:
    _, latex, markdown, svg, vega = shown(
        call(
            display(text__latex="$\\displaystyle x^2$", text__plain="<Math>"),
            display(text__markdown="*m* <script>1</script>"),
            {"output_type": "display_data", "data": {"image/svg+xml": "<svg onload='x'></svg>"}},
            {
                "output_type": "display_data",
                "data": {"application/vnd.vegalite.v5+json": {"mark": "bar"}, "image/png": PNG},
                "metadata": {"image/png": {"width": 300, "height": "x"}},
            },
        )
    )
    assert 'class="mathjax_process tex2jax_process">$\\displaystyle x^2$<' in latex.data["text/html"]
    assert "<em>m</em> &lt;script&gt;" in markdown.data["text/html"]
    assert '<img src="data:image/svg+xml;base64,' in svg.data["text/html"]
    assert set(vega.data) == {"image/png", "text/plain"}
    assert vega.metadata["image/png"]["width"] == 300
    assert "height" not in vega.metadata["image/png"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml", "a/b"]
)
@pytest.mark.parametrize("text", ["\ud800", "<i>\ud800\x1b[31m", "<script>\ud800</script>"])
def test_no_display_breaks_a_message(kind: str, text: str) -> None:
    output = {
        "output_type": "display_data",
        "data": {kind: text, "text/plain": text},
        "metadata": {text: text},
    }
    for bundle in shown(call(output, stream(text), code=text)):
        json.dumps([bundle.data, bundle.metadata], ensure_ascii=False).encode()
        assert "\x1b" not in bundle.data["text/plain"] + bundle.data["text/markdown"]


def test_the_json_of_a_chart_is_kept_in_the_item() -> None:
    kind = "application/vnd.plotly.v1+json"
    data = {kind: {"data": [1]}, "text/html": "<b>", "image/png": PNG, "text/plain": "[Plotly chart]"}
    first, _ = shown(call({"output_type": "display_data", "data": data, "metadata": {}}))
    (kept,) = first.data[ITEM_MIME]["agent_kernel"]["outputs"]
    assert kept["data"] == {kind: {"data": [1]}, "text/plain": "[Plotly chart]"}
    big = {**data, kind: {"data": list(range(100_000))}}
    first, _ = shown(call({"output_type": "display_data", "data": big, "metadata": {}}))
    assert kind not in json.dumps(first.data[ITEM_MIME])


def test_pictures_are_known_by_their_bytes() -> None:
    rich, plain = (
        call(display(image__png=PNG)),
        {**code_call("x"), "outputs": [{"type": "image", "url": URL}]},
    )
    assert pictures_seen(rich) == pictures_seen(plain) != set()
    assert pictures_seen(call(display(image__png="@"), stream("x"))) == set()


@pytest.mark.parametrize(
    ("saved", "paths"),
    [(["/mnt/data/a.png", 7], {"/mnt/data/a.png"}), ("/mnt/data/a.png", set()), (7, set())],
)
def test_a_picture_names_files_that_show_the_same(saved: Any, paths: set[str]) -> None:
    output = {**display(image__png=PNG), "metadata": {"agent_kernel": {"saved": saved}}}
    assert {each for each in pictures_seen(call(output)) if isinstance(each, str)} == paths


@pytest.mark.parametrize(
    "code", ["def f(x):\n    return f'{x!r}' # c\n", "'''", "x = 1 if", "\t", "é = 'ü'", "%magic"]
)
def test_colours_change_no_code(code: str) -> None:
    assert COLOUR.sub("", coloured(code)) == code


@pytest.mark.parametrize("output", [None, 7, [], {}, {"output_type": []}, {"data": 7}, {"data": {7: 7}},
    {"output_type": "display_data"}, {"output_type": "display_data", "data": {"text/html": 7}},
    {"output_type": "error", "traceback": 7}, {"output_type": "stream", "text": {}}])  # fmt: skip
def test_malformed_outputs_break_nothing(output: Any) -> None:
    assert shown(call(output))[0].data["text/plain"] == ">>> x"
