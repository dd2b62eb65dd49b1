"""Desktops on Docker: an image that has none, and the one that `image build --desktop` makes."""

from __future__ import annotations

import pytest

from agent_kernel.errors import PreparationFailed
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DESKTOP_IMAGE, build_from_debian, desktop_packages
from tests.conftest import Missing
from tests.sandboxes.inside import started
from tests.tools.computer.conftest import Desk
from tests.tools.computer.crashes import crashes_are_mended
from tests.tools.computer.steps import thirty_steps
from tests.tools.computer.test_actions import TEXT

pytestmark = pytest.mark.docker


async def test_an_image_without_a_desktop_is_said(docker_backend: DockerBackend) -> None:
    async with started(docker_backend) as sandbox:
        desk = Desk(sandbox)
        for _ in range(2):
            done = await desk.act({"type": "screenshot"})
            assert (done.status, done.shots) == ("error", ())
            assert done.said[0].startswith(
                "There is no desktop in this container: it has no Xvfb and openbox."
            )
            assert "agent-kernel image build --desktop" in done.said[0]
        driver = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[p]ython3 -I -c import os'"
        ended = f"for n in $(seq 50); do {driver} >/dev/null || break; sleep 0.1; done"
        left = await sandbox(f"echo usable; {ended}; {driver}")
        assert left.stdout == b"usable\n0\n"


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_the_image_with_a_desktop_has_one(docker_engine: None, missing: Missing) -> None:
    """Run as root inside, where Chromium needs its own flag."""
    backend = DockerBackend(DESKTOP_IMAGE)
    if not (await backend.probe()).ok:
        try:
            build_from_debian(DESKTOP_IMAGE, lambda line: None, desktop_packages())
        except PreparationFailed as error:
            missing(str(error))
    try:
        async with started(backend, memory=2 << 30) as sandbox:
            desk = Desk(sandbox)
            await desk.open_page()
            text = {"type": "type", "text": TEXT}
            await desk.act({"type": "click", "button": "left", **desk.at(100, 100)}, text)
            await desk.told("text", lambda each: each["value"] == TEXT)
            await desk.act({"type": "scroll", **desk.at(800, 100), "scroll_y": 240})
            assert (await desk.told("scroll", lambda each: each["top"] > 0))["top"] == 240
            assert await thirty_steps(desk) >= 30
            await crashes_are_mended(desk)
    finally:
        await backend.aclose()
