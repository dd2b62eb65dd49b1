"""README, SECURITY and CHANGELOG name files, commands and extras that exist."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from agent_kernel import __version__
from tests.conftest import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
PAPERS = ("README.md", "SECURITY.md", "CHANGELOG.md", "docs/api.md", "docs/dependencies.md")


@pytest.mark.parametrize("paper", PAPERS)
def test_links_lead_to_files_and_headings(paper: str) -> None:
    page = CHECKOUT / paper
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        if heading:
            assert heading in headings(found), target


def headings(page: Path) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in lines}


def test_install_commands_name_the_distribution_and_its_extras() -> None:
    assert PROJECT["name"] == "jupyter-agent-kernel"
    assert PROJECT["scripts"] == {"agent-kernel": "agent_kernel.cli:main"}
    for extra in ("test", "dev"):
        for line in PROJECT["optional-dependencies"][extra]:
            assert not line.startswith("agent-kernel"), "an extra refers to the distribution's old name"
    for path in (
        *CHECKOUT.glob("*.md"),
        *CHECKOUT.glob("docs/**/*.md"),
        *CHECKOUT.glob("agent_kernel/**/*.py"),
    ):
        for extras in re.findall(r"agent-kernel\[([\w,]+)\]", path.read_text()):
            assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), path
        assert not re.search(r"(?<!jupyter-)agent-kernel\[\w", path.read_text()), path


def test_changelog_has_a_section_for_this_version() -> None:
    assert f"## {__version__} " in (CHECKOUT / "CHANGELOG.md").read_text()


def test_recorded_libraries_are_dependencies() -> None:
    """Each library in the table of decisions that says "own code" is absent; each other one is declared."""
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    declared = {re.split(r"[^\w-]", line)[0] for line in (*PROJECT["dependencies"], *extras)}
    declared |= set(json.loads((CHECKOUT / "extension" / "package.json").read_text())["dependencies"])
    table = (CHECKOUT / "docs" / "dependencies.md").read_text().partition("\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| ") and "`" in line:
            named = set(re.findall(r"`([\w-]+)`", line))
            assert named & declared == (set() if "own code" in line else named), line
