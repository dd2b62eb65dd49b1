"""A kernel, and a page that talks to it over the comm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.client import Notebook
from tests.kernel.panel.page import Page
from tests.kernel.running import running


@pytest.fixture(scope="module")
def kernel(jupyter_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with running(jupyter_path, tmp_path_factory.mktemp("notebook")) as notebook:
        yield notebook


@pytest.fixture
def page(kernel: Notebook) -> Iterator[Page]:
    page = Page(kernel)
    yield page
    page.close()
