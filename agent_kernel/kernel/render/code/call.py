"""Render calls of code: the code and what it printed first, then each display and the text after it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from agent_kernel.kernel.render.ansi import AnsiToHtml
from agent_kernel.kernel.render.bundles import (
    CALL,
    ERRORS,
    METADATA_KEY,
    OUTPUT,
    SUMMARY,
    Bundle,
    ShownItem,
    box,
    details,
    pre_html,
)
from agent_kernel.kernel.render.code.display import displayed
from agent_kernel.kernel.render.code.outputs import (
    Output,
    is_chart,
    is_text,
    outputs_of,
    stop_of,
    text_of,
    words_of,
)
from agent_kernel.kernel.render.highlight.source import coloured
from agent_kernel.kernel.render.shell import stream
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, fence, fold


def code_call(item: Item, limit: int) -> ShownItem | None:
    """Render a call with the text before its first display, each text cut to `limit` characters.

    None if it has no code. `displays` has the rest.
    """
    code = clean(clip(str(item.get("code") or ""), limit).rstrip("\n"))
    if not code:
        return None
    outputs = outputs_of(item)
    texts, _ = _split(outputs)
    shown = list(_texts(texts, limit))
    words = stop_of(item)
    if not words and not outputs and item.get("status") in ("incomplete", "failed"):
        words = "not finished" if item["status"] == "incomplete" else "failed"
    if words:
        shown += [ShownItem(f'<span style="{SUMMARY}">{words}</span>', f"*{words}*", f"[{words}]")]
    html = box(CALL, _code_html(code))
    if shown:
        html += box(OUTPUT, "".join(part.html for part in shown))
    return ShownItem(
        html=html,
        markdown="\n\n".join([fence(code, "python"), *(part.markdown for part in shown)]),
        plain="\n".join([_prompted(code), *(part.plain.rstrip("\n") for part in shown)]),
    )


def code_texts(item: Item, limit: int) -> Iterator[str]:
    """Yield the texts that `code_call` shows below the code."""
    for output in _split(outputs_of(item))[0]:
        yield clean(clip(words_of(output), limit))


def displays(item: Item, limit: int) -> Iterator[Bundle]:
    """Yield what a call displayed, and the texts after it, each as an output of its own."""
    outputs = outputs_of(item)
    _, rest = _split(outputs)
    number = len(outputs) - len(rest)
    for text, group in groupby(rest, is_text):
        together = list(group)
        if not text:
            yield from (_numbered(output, n, limit) for n, output in enumerate(together, number))
        elif shown := list(_texts(together, limit)):
            yield ShownItem(
                html=box(OUTPUT, "".join(part.html for part in shown)),
                markdown="\n\n".join(part.markdown for part in shown),
                plain="\n".join(part.plain.rstrip("\n") for part in shown),
            ).bundle()
        number += len(together)


def _numbered(output: Output, number: int, limit: int) -> Bundle:
    """Return a display; that of a chart says which output of the call it is, where its JSON is kept."""
    bundle = displayed(output, limit)
    if is_chart(output):
        bundle.metadata.setdefault(METADATA_KEY, {})["chart"] = number
    return bundle


def _split(outputs: Sequence[Output]) -> tuple[Sequence[Output], Sequence[Output]]:
    """Return the texts before the first display, and all that follows."""
    count = next((n for n, output in enumerate(outputs) if not is_text(output)), len(outputs))
    return outputs[:count], outputs[count:]


def _texts(outputs: Sequence[Output], limit: int) -> Iterator[ShownItem]:
    """Yield texts, those of one kind that follow each other as one."""
    for kind, group in groupby(outputs, _kind):
        text = text_of(group)
        if not text.strip("\n"):
            continue
        if kind != "error":
            yield stream(kind, text, limit)
            continue
        shown = stream("stdout", text, limit)
        yield ShownItem(box(ERRORS, shown.html), shown.markdown, shown.plain)


def _kind(output: Output) -> str:
    if output.get("output_type") == "error":
        return "error"
    return "stderr" if output.get("name") == "stderr" else "stdout"


def _prompted(code: str) -> str:
    return ">>> " + code.replace("\n", "\n... ")


def _code_html(code: str) -> str:
    folded = fold(coloured(code), head=20, tail=5)
    painter = AnsiToHtml()
    html = pre_html(painter.html(folded.head))
    if folded.middle:
        html += details(f"… {folded.hidden}", pre_html(painter.html(folded.middle)))
    return html + (pre_html(painter.html(folded.tail)) if folded.tail else "")
