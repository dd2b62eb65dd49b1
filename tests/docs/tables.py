"""Reads the tables of the documentation, for tests that compare them with what the product does."""

from __future__ import annotations

from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"


def section(page: str, heading: str) -> str:
    """Return the text below a heading of the second level."""
    text = (DOCS / page).read_text()
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"{page} has no section {heading!r}"
    return rest.partition("\n## ")[0]


def rows(text: str, *heading: str) -> list[list[str]]:
    """Return the rows of the table with these column headings; code marks are removed from the cells."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("|") and tuple(_cells(line)) == heading:
            next(lines)
            found = []
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append(_cells(row))
            return found
    raise AssertionError(f"no table with the columns {heading}")


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
