"""What the tests of the extension do in a page of JupyterLab or Notebook 7."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.kernel import lab
from tests.kernel.extension.conftest import EXTENSION

WAIT = 60_000.0
CONTENT = "window.jupyterapp.shell.currentWidget.content"


@contextmanager
def themed(page: Page, theme: str) -> Iterator[None]:
    """Show the page in one of JupyterLab's themes, and in the light one at the end."""
    lab.command(page, "apputils:change-theme", {"theme": theme})
    try:
        expect(page.locator(f"body[data-jp-theme-name='{theme}']")).to_have_count(1, timeout=WAIT)
        expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=WAIT)
        yield
    finally:
        lab.command(page, "apputils:change-theme", {"theme": "JupyterLab Light"})
        expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=WAIT)


def dark(page: Page) -> AbstractContextManager[None]:
    return themed(page, "JupyterLab Dark")


def cell(page: Page, number: int) -> Locator:
    return page.locator(".jp-Notebook:visible .jp-CodeCell").nth(number)


def start(page: Page, number: int) -> Locator:
    """Select a cell and start it; the cell."""
    page.evaluate(f"(number) => {{ {CONTENT}.activeCellIndex = number; }}", number)
    lab.start_command(page, "notebook:run-cell")
    return cell(page, number)


def source(page: Page, number: int) -> str:
    found: str = page.evaluate(f"(n) => {CONTENT}.widgets[n].model.sharedModel.getSource()", number)
    return found


def violations(page: Page, selector: str) -> list[str]:
    """What axe-core finds serious below the elements of a selector."""
    if not page.evaluate("() => 'axe' in window"):
        page.add_script_tag(path=EXTENSION / "node_modules" / "axe-core" / "axe.min.js")
    found: list[dict[str, Any]] = page.evaluate(
        "(selector) => axe.run(document.querySelectorAll(selector)).then((found) => found.violations)",
        selector,
    )
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def our_violations(page: Page) -> list[str]:
    """What axe-core finds serious in anything that the extension shows now."""
    ours = "[class^='jp-agent-']:not([hidden]), [class*=' jp-agent-']:not([hidden])"
    assert page.locator(ours).count() > 0
    return violations(page, ours)


def check_themes(page: Page, selector: str, path: Path) -> None:
    """See that axe-core finds nothing serious in these elements, in the light and in the dark theme.

    Pictures of both are taken if somebody wants to look at them.
    """
    lab.picture(page, path)
    assert violations(page, selector) == []
    with dark(page):
        lab.picture(page, path.with_stem(f"{path.stem}-dark"))
        assert violations(page, selector) == []
