"""What a bubblewrap sandbox sees of the host's `/etc`: what programs need, and no settings of the site."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.bubblewrap.process import ETC
from tests.conftest import Missing
from tests.sandboxes.inside import started

pytestmark = pytest.mark.bubblewrap
OWN = {"passwd", "group"}
SITE = {"Renviron.site", "Rprofile.site"}
"""R reads them at its start, so they may hold tokens."""


@pytest.fixture
def host_settings(missing: Missing) -> set[str]:
    """The names in the host's folder with R's settings; those of the site are among them."""
    if not Path("/etc/R").is_dir():
        missing("R is missing: apt-get install r-base-core")
    names = {path.name for path in Path("/etc/R").iterdir()}
    assert names >= SITE
    return names


@pytest.fixture
def shown() -> set[str]:
    """The entries of the host's `/etc` that are listed."""
    return {path.relative_to("/etc").parts[0] for name in ETC for path in Path("/etc").glob(name)}


async def test_only_listed_files_of_etc_are_inside(
    bubblewrap_backend: BubblewrapBackend, host_settings: set[str], shown: set[str]
) -> None:
    async with started(bubblewrap_backend) as run:
        entries = set((await run("ls -A /etc")).stdout.decode().split())
        settings = set((await run("ls -A /etc/R")).stdout.decode().split())
    assert entries == shown | OWN
    assert "ldpaths" in settings
    assert settings <= host_settings - SITE
