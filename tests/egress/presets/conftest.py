from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Missing
from tests.egress.presets.world import Certificate, World, certificate, served


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, missing: Missing) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"), missing)


@pytest.fixture
async def world(made: Certificate) -> AsyncIterator[World]:
    async with served(made) as world:
        yield world
