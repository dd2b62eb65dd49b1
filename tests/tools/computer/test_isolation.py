"""Nothing of the host's display, clipboard or files is reachable from a sandbox with a desktop."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DESKTOP_IMAGE
from tests.conftest import Missing
from tests.sandboxes.inside import Sandbox, started
from tests.tools.computer.conftest import Desk
from tests.tools.computer.watching import click, typed, watching

ATTEMPTS = """
import json, os, socket, sys
display, secret = sys.argv[1:]
name = "/tmp/.X11-unix/X" + display
places = {"path": (socket.AF_UNIX, name), "abstract": (socket.AF_UNIX, "\\0" + name),
          "port": (socket.AF_INET, ("127.0.0.1", 6000 + int(display)))}
reached = {}
for kind, (family, place) in places.items():
    with socket.socket(family) as found:
        try:
            found.connect(place)
            reached[kind] = True
        except OSError:
            reached[kind] = False
displays = set()
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/environ" % pid, "rb") as file:
            names = dict(each.partition(b"=")[::2] for each in file.read().split(b"\\0"))
    except OSError:
        continue
    told = (b"DISPLAY", b"WAYLAND_DISPLAY", b"XAUTHORITY")
    displays |= {names[each].decode() for each in told if each in names}
folder = "/tmp/.X11-unix"
screens = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
print(json.dumps({"reached": reached, "file": os.path.exists(secret),
                  "displays": sorted(displays), "screens": screens}))
"""


@dataclass
class Host:
    """A display of this machine, and a file."""

    display: str
    secret: Path

    def attempts_here(self) -> Any:
        """What a program of the host reaches: the attempts work where there is something to reach."""
        command = [sys.executable, "-c", ATTEMPTS, self.display, str(self.secret)]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    async def attempts(self, sandbox: Sandbox) -> dict[str, object]:
        """What a program in a sandbox reaches of them."""
        done = await sandbox(f"python3 -c '{ATTEMPTS}' {self.display} {self.secret}")
        found: dict[str, object] = json.loads(done.stdout)
        return found


@pytest.fixture
def host(tmp_path: Path, missing: Missing) -> Iterator[Host]:
    """A display that programs of this machine use, as a person's own. Its clipboard is a part of it."""
    if shutil.which("Xvfb") is None:
        missing("Xvfb is not installed; .ci/debian-packages does it")
    secret = tmp_path / "secret.txt"
    secret.write_text(secrets.token_hex())
    command = ["Xvfb", ":77", "-displayfd", "1", "-listen", "tcp", "-noreset", "-screen", "0", "320x200x24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            yield Host(server.stdout.readline().decode().strip(), secret)
        finally:
            server.terminate()


UNREACHED = {"path": False, "abstract": False, "port": False}


@pytest.mark.bubblewrap
@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_of_the_host_is_reachable_from_a_desktop(host: Host, desk: Desk) -> None:
    here = host.attempts_here()
    assert (here["reached"]["path"], here["reached"]["port"], here["file"]) == (True, True, True)
    found = await host.attempts(desk.sandbox)
    assert found["reached"] == UNREACHED
    assert found["file"] is False
    assert (found["displays"], found["screens"]) == ([":0"], ["X0"])


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_on_docker_it_is_taken_over_and_isolated(
    host: Host, docker_engine: None, missing: Missing
) -> None:
    backend = DockerBackend(DESKTOP_IMAGE)
    if not (await backend.probe()).ok:
        missing("There is no image with a desktop; test_images builds it")
    try:
        async with started(backend, memory=2 << 30) as sandbox:
            desk = Desk(sandbox)
            await desk.open_page()
            async with watching(desk) as watcher:
                await watcher.until(lambda: any(each.last for each in watcher.pieces))
                await watcher.watched.take()
                acting = asyncio.create_task(desk.act({"type": "click", "button": "left", **desk.at(9, 9)}))
                await watcher.watched.act([*click(desk, 100, 100), *typed("Grüße 日本")])
                await desk.told("text", lambda each: each["value"] == "Grüße 日本")
                assert not acting.done()
                await watcher.watched.hand_back()
                assert "The user took over" in (await acting).said[0]
            found = await host.attempts(sandbox)
            assert found == {"reached": UNREACHED, "file": False, "displays": [":0"], "screens": ["X0"]}
    finally:
        await backend.aclose()
