"""The hostile corpus in the live view: nothing of it runs, is fetched, or leaves its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.kernel.hostile.canary import Canary, canary
from tests.kernel.hostile.corpus import NAMES, TEXTS
from tests.kernel.live.test_live_page import item, tell

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PARTS = {
    "message": ["text"],
    "reasoning": ["summary.0"],
    "said": ["text"],
    "decided": ["text"],
    "shell_call": ["command.0"],
    "shell_call_output": ["stdout.0", "stderr.0", "outcome.0", "seconds.0"],
    "code_interpreter_call": ["code", "printed", "outcome"],
    "mcp_call": ["arguments", "output"],
}
"""The texts of each kind of item."""

TOUCH = """() => [...document.body.querySelectorAll('*')].filter((element) => {
  for (const kind of ['mouseover', 'focus', 'toggle', 'error']) element.dispatchEvent(new Event(kind));
  if (!element.matches('a, button')) element.click();
  return true;
}).length"""
ASK = """async (texts) => {
  let shown = 0;
  for (const text of texts) {
    const about = { about: shown % 2 ? "network" : "call", editable: shown % 3 === 0 };
    window.sync({ question: { id: text, commands: [text], reason: text, kind: text, ...about } });
    window.hear({ step: text });
    await new Promise(requestAnimationFrame);
    shown += document.querySelectorAll(".agent-live-question").length;
  }
  return shown;
}"""
"""Ask about every text, and say that it is being done."""

FORBIDDEN = "script, iframe, img, svg, math, object, embed, link, meta, style, form, base, video, template"


@pytest.fixture(scope="module")
def trap() -> Iterator[Canary]:
    with canary() as server:
        yield server


def show(view: Page, texts: list[str]) -> None:
    """Show every text as every part of every kind of item."""
    kinds = [(text, kind) for text in texts for kind in PARTS]
    items = [item(number, kind, done=True) | {"name": text} for number, (text, kind) in enumerate(kinds)]
    deltas: list[list[Any]] = [
        [number, part, len(text), text] for number, (text, kind) in enumerate(kinds) for part in PARTS[kind]
    ]
    tell(view, *items, deltas=deltas)


def test_hostile_corpus_is_only_text(view: Page, trap: Canary) -> None:
    texts = [text.replace("CANARY", trap.address).replace("\ud800", "") for text in (*TEXTS, *NAMES)]
    texts = [text.replace("\udfff", "") for text in texts]  # Jupyter's messages carry no lone surrogates
    view.evaluate("() => { window.__canary = undefined; }")
    show(view, texts)
    assert view.evaluate(ASK, texts) == len(texts)
    assert view.evaluate(TOUCH) > 3_000
    assert view.locator(".agent-live-item").count() == len(texts) * len(PARTS)
    assert view.locator(".agent-live").locator(FORBIDDEN).count() == 0
    names = view.evaluate(
        "[...document.body.querySelectorAll('*')].flatMap((each) => each.getAttributeNames())"
    )
    assert not [name for name in names if name.startswith("on") or "commandlinker" in name or name == "src"]
    links = view.evaluate("[...document.links].map((link) => link.protocol)")
    assert {*links} <= {"http:", "https:", "mailto:"}
    assert view.evaluate("window.__canary") is None
    assert trap.visits == []
