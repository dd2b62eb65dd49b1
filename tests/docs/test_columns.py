"""The pages of docs/ are wrapped at 100 columns; `python .ci/wrap_docs.py` wraps them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import CHECKOUT
from tests.docs.tables import DOCS


def wrap_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wrap_docs", CHECKOUT / ".ci" / "wrap_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRAPPED = wrap_docs().wrapped


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_page_is_wrapped(page: Path) -> None:
    assert WRAPPED(page.read_text()) == page.read_text(), "python .ci/wrap_docs.py"


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("- " + "word " * 30, "- " + " ".join(["word"] * 19) + "\n  " + " ".join(["word"] * 11)),
        ("| " + "cell " * 30 + "|", None),
        ("```\n" + "code " * 30 + "\n```", None),
        ("`" + "code " * 30 + "`", None),
        ("x" * 98 + " - y", "x" * 98 + " -\ny"),
    ],
)
def test_only_text_is_wrapped(long: str, short: str | None) -> None:
    assert WRAPPED(long) == (short or long)
