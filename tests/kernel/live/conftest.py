"""A page of Chromium with the view in it, driven without a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Page

from agent_kernel.kernel.live.built import is_built
from tests.kernel import lab

HARNESS = """
window.sent = [];
window.handlers = {};
window.state = {elapsed: 0, ended: false, tokens: [0, 0], question: null, items: []};
const model = {
  get: () => window.state,
  on: (name, handler) => { window.handlers[name] = handler; },
  off: () => {},
  send: (message) => { window.sent.push(message); },
};
window.hear = (message) => window.handlers["msg:custom"](message, []);
window.sync = (state) => { Object.assign(window.state, state); window.handlers["change:state"](); };
document.body.replaceChildren();
const widget = makeWidget();
widget.initialize({model});
widget.render({model, el: document.body});
"""


LOAD = """async (code) => {
  const { default: makeWidget, ...parts } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  Object.assign(window, parts, { makeWidget });
}"""


@pytest.fixture(scope="session", autouse=True)
def _built(missing: Callable[[str], NoReturn]) -> None:
    if not is_built():
        missing("The live view is not built. With Node on this machine: make extension")


@pytest.fixture(scope="module")
def blank(lab_folder: Path) -> Iterator[Page]:
    from agent_kernel.kernel.live.live import LiveTurn

    with lab.SHARED.browser().new_page() as page:
        page.evaluate(LOAD, LiveTurn._esm)
        page.add_style_tag(content=LiveTurn._css)
        yield page


@pytest.fixture
def view(blank: Page) -> Page:
    """A page with a view that nothing has been told."""
    blank.evaluate("(code) => { window.hostile = undefined; (0, eval)(`{${code}}`); }", HARNESS)
    return blank
