"""Hooks of mkdocs: the README is the first page, and what is no documentation is named instead of linked."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?\)")


def slug(text: str, separator: str) -> str:
    """Return a heading's anchor, as Git hosts make it."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", separator)


def on_files(files: Files, config: Any) -> Files:
    """Add the README as the first page."""
    text = (ROOT / "README.md").read_text()
    files.append(File.generated(config, "index.md", content=_within(text, "")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Name the links that lead out of the documentation."""
    if page.file.src_uri == "index.md":
        return markdown
    return _within(markdown, posixpath.dirname(posixpath.join("docs", page.file.src_uri)))


def _within(markdown: str, folder: str) -> str:
    """Return Markdown of a file in `folder`; links are as seen from there."""
    inside = [
        part if number % 2 else LINK.sub(lambda found: _link(found, folder), part)
        for number, part in enumerate(re.split(r"(^```.*?^```)", markdown, flags=re.M | re.S))
    ]
    return "".join(inside)


def _link(found: re.Match[str], folder: str) -> str:
    picture, words, path, anchor = found.groups()
    there = posixpath.normpath(posixpath.join(folder, path))
    if not there.startswith("docs/") or not (ROOT / there).is_file():
        return words if not picture else f"`{there}`"
    start = folder if folder.startswith("docs") else "docs"
    return f"{picture}[{words}]({posixpath.relpath(there, start)}{anchor or ''})"
