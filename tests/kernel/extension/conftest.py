"""JupyterLab with the extension, and pages of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.conftest import CHECKOUT
from tests.kernel import lab
from tests.kernel.notebooks import write_notebook
from tests.kernel.running import use_kernels

EXTENSION = CHECKOUT / "extension"
Opened = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def address(
    lab_folder: Path, jupyter_path: Path, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """One JupyterLab with the extension for all tests of this folder."""
    with pytest.MonkeyPatch.context() as patch:
        use_kernels(jupyter_path, patch)
        folder = tmp_path_factory.mktemp("extended")
        with lab.lab_server(lab_folder, folder, extension=built, forks=True) as address:
            yield address
            lab.SHARED.close()


@pytest.fixture(scope="module")
def lab_tab(address: str) -> Page:
    """The page of that JupyterLab which all tests share."""
    return lab.SHARED.page(address)


@pytest.fixture(scope="module")
def context(lab_tab: Page) -> BrowserContext:
    return lab_tab.context


@pytest.fixture
def opened(lab_tab: Page, address: str, lab_folder: Path) -> Opened:
    """Writes a notebook with these cells and opens it. With `cells` None, it is there already."""

    def opener(
        name: str, cells: list[str] | None, kernel: str = "agent-live", **size: int
    ) -> AbstractContextManager[Page]:
        if cells is not None:
            write_notebook(lab_folder / name, cells, kernel=kernel)
        return lab.notebook_in(lab_tab, address, name, **size)

    return opener
