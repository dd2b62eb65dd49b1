"""The script of thirty actions on a desktop in bubblewrap."""

from __future__ import annotations

import pytest

from tests.tools.computer.conftest import Desk
from tests.tools.computer.steps import thirty_steps

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.unsplit("desktop"),
]


async def test_thirty_steps_are_what_the_pages_saw(desk: Desk) -> None:
    assert await thirty_steps(desk) >= 30
