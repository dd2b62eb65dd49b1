"""The user's guide shows each panel of the JupyterLab extension: how it is opened, and a picture of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

SOURCES = CHECKOUT / "extension" / "src"
GUIDE = CHECKOUT / "docs" / "guide"
OVERVIEW = GUIDE / "jupyterlab.md"
"""It names the panels and links to their pages, so it does not count."""
ADDS = re.compile(r"\b(?:notebookPanel|addPanel|shell\.add)\(")
LABEL = re.compile(r'\blabel: trans\.__\("([^"]+)"\)')
PICTURE = re.compile(r"!\[[^\]]+\]\((?P<path>[^)]+\.png)\)")


def panels() -> dict[str, str]:
    """The command that opens what a plugin adds to the window, by the plugin's folder and file."""
    found = {}
    for path in sorted(SOURCES.glob("*/*.ts")):
        text = path.read_text()
        if added := ADDS.search(text):
            labels = LABEL.findall(text)
            assert labels, f"{path} adds a panel ({added[0]}…) that no command opens"
            found[f"{path.parent.name}/{path.name}"] = labels[0]
    return found


def pictures_of(label: str) -> list[Path]:
    """The pictures in sections of the guide that name this command in a menu."""
    return [
        page.parent / picture["path"]
        for page in GUIDE.glob("*.md")
        if page != OVERVIEW
        for section in page.read_text().split("\n## ")
        if f"→ {label}*" in section
        for picture in PICTURE.finditer(section)
    ]


def test_panels_are_found() -> None:
    assert len(panels()) >= 7


@pytest.mark.parametrize("plugin", panels())
def test_panel_has_a_guide_page_with_a_picture(plugin: str) -> None:
    shown = pictures_of(panels()[plugin])
    assert shown, f"docs/guide does not show a picture where it names the command {panels()[plugin]!r}"
    assert [path for path in shown if not path.is_file()] == []
