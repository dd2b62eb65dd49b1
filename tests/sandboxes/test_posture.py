"""docs/isolation.md is true: each class of sandbox, looked at from inside, is what its column says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.boxd import gvisor
from tests.conftest import CHECKOUT, Missing
from tests.sandboxes.posture import look

PAGE = CHECKOUT / "docs" / "isolation.md"
NOBODY = "65534"
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
SYSTEM_PYTHON = "/usr/bin/python3"
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
VERSION_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
"""Whether this machine has control groups of version 2."""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def column(heading: str) -> dict[str, str]:
    """The first table's column of that heading, by the name of the row."""
    table = PAGE.read_text().partition("\n\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    place = rows[0].index(heading)
    return {row[0]: row[place] for row in rows[2:]}


def words(found: list[str]) -> str:
    return " ".join(sorted(found)) or "none"


def own_namespaces(found: dict[str, str]) -> list[str]:
    return [name for name in NAMESPACES if os.readlink(f"/proc/self/ns/{name}") != found.get(name)]


def mounts(seen: dict[str, Any], without: str) -> list[str]:
    """Writable mounts that lack a restriction; device nodes and the kernel's own file systems left out."""
    devices = {f"/dev/{name}" for name in seen["devices"]}
    return [
        where
        for where, options in seen["mounts"].items()
        if without not in options
        and not re.match(r"/proc(/|$)", where)
        and where not in devices
        and not {"type=devpts", "type=mqueue"} & set(options)
        and "ro" not in options
    ]


def capabilities(seen: dict[str, int]) -> str:
    assert seen["CapPrm"] == seen["CapEff"] == seen["CapBnd"]
    assert seen["CapInh"] == seen["CapAmb"] == 0
    assert seen["CapEff"] < 1 << len(CAPABILITIES)
    return words([name for bit, name in enumerate(CAPABILITIES) if seen["CapEff"] & (1 << bit)])


FAMILIES = {1: "UNIX", 2: "INET", 10: "INET6", 16: "NETLINK"}


def families(seen: dict[str, Any]) -> str:
    assert set(seen["pairs"]) <= {1}
    return " ".join(FAMILIES.get(family, str(family)) for family in seen["families"])


def described(seen: dict[str, Any]) -> dict[str, str]:
    """Return what was seen under the page's row names."""
    on_gvisor = gvisor.VERSION in seen["kernel"]
    settings = seen["settings"]
    return {
        "user": str(seen["user"]),
        "capabilities": capabilities(seen["capabilities"]),
        "no_new_privs": "set" if seen["no_new_privs"] == 1 else "none",
        "system call filter": "set" if seen["seccomp"] == "2" else "none",
        "socket families": families(seen),
        "kernel": "gVisor's" if on_gvisor else "the host's",
        "own namespaces": "gVisor's" if on_gvisor else words(own_namespaces(seen["namespaces"])),
        "network devices": words(seen["interfaces"]),
        "routes": str(seen["routes"] or "none"),
        "writable mounts": words(mounts(seen, "ro")),
        "sizes of in-memory mounts, at 1 GiB": ", ".join(
            f"{where} {size:.0f} MiB" if size < 1 << 20 else f"{where} no size"
            for where, size in sorted(seen["sizes"].items())
        ),
        "mounts without nosuid": "unknown" if on_gvisor else words(mounts(seen, "nosuid")),
        "devices": words(seen["devices"]),
        "kernel tables in /proc and /sys": words(seen["kernel tables"]),
        "kernel settings it can write": "its own" if on_gvisor and settings else words(settings),
        "socket files": words(seen["sockets"]),
        "processes": "its own" if "boxd" in seen["first process"] and seen["processes"] < 6 else "others",
        "allowed actions (listed below)": ", ".join(sorted(seen["can"])) or "none",
        "open files": str(seen["open files"][1]),
        "core dumps": str(seen["core"][1] or "none"),
    }


def test_the_page_names_the_actions_that_are_tried() -> None:
    from tests.sandboxes.posture import LOOK

    page = " ".join(PAGE.read_text().split())
    tried = re.findall(r'^    "([a-z_ ]+)": lambda', LOOK, re.MULTILINE)
    assert len(tried) > 15
    assert [action for action in tried if action not in page and action != "cgroup"] == []


def new_id() -> str:
    return f"posture-{secrets.token_hex(4)}"


@pytest.mark.docker
async def test_docker_with_runc(docker_backend: Backend) -> None:
    podman = "Podman" in (await docker_backend.probe()).detail  # as .ci/podman starts it
    seen = described(await look(docker_backend, new_id()))
    sizes = "sizes of in-memory mounts, at 1 GiB"
    seen[sizes] = re.sub(r"(/sys/fs/cgroup) \d+ MiB", r"\1 no size", seen[sizes])  # half of the machine's
    expected = column("Podman, runc" if podman else "Docker, runc")
    if podman and VERSION_2:
        expected["own namespaces"] = f"cgroup {expected['own namespaces']}"
        expected["writable mounts"] = expected["writable mounts"].replace(" /sys/fs/cgroup", "")
        expected[sizes] = expected[sizes].replace(", /sys/fs/cgroup no size", "")
    assert seen == expected


@pytest.mark.docker
async def test_docker_with_gvisor(docker_runsc_backend: Backend) -> None:
    assert described(await look(docker_runsc_backend, new_id())) == column("Docker, runsc (gVisor)")


@pytest.mark.bubblewrap
async def test_bubblewrap(bubblewrap_backend: Backend) -> None:
    user = "root" if os.geteuid() == 0 else "ordinary user"
    assert described(await look(bubblewrap_backend, new_id())) == column(f"bubblewrap, {user}")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, with a copy of what the look needs."""
    with tempfile.TemporaryDirectory(prefix="agent-kernel-posture-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for package in ("agent_kernel", "tests/sandboxes"):
            ignored = shutil.ignore_patterns("__pycache__", "static", "*.ipynb", "node_modules")
            shutil.copytree(CHECKOUT / package, folder / package, ignore=ignored)
        (folder / "data").mkdir()
        if os.geteuid() == 0:
            os.chown(folder / "data", int(NOBODY), int(NOBODY))
        yield folder


def lacking() -> str | None:
    """What the next test needs of the machine, if it is not there."""
    check = [SYSTEM_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if (
        shutil.which("setpriv")
        and Path(SYSTEM_PYTHON).exists()
        and not subprocess.run(check, check=False).returncode
    ):
        return None
    return f"Needs setpriv (apt-get install util-linux) and Python 3.11 or newer at {SYSTEM_PYTHON}."


@pytest.mark.bubblewrap
@pytest.mark.parametrize("way", ["", "fork"])
async def test_bubblewrap_as_an_ordinary_user(
    way: str, bubblewrap_backend: Backend, open_folder: Path, missing: Missing
) -> None:
    """Started by root, it runs as a user that owns nothing else on this machine."""
    if (lack := await asyncio.to_thread(lacking)) is not None:
        missing(lack)
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(AS_NOBODY if os.geteuid() == 0 else ()),
            *(SYSTEM_PYTHON, "-B", "-m", "tests.sandboxes.posture", str(open_folder / "data"), *way.split()),
        ],
        cwd=open_folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert ("/host/boxd" in seen["first process"]) == bool(way)
    assert described(seen) == column("bubblewrap, ordinary user")
    assert list((open_folder / "data" / "sandboxes").iterdir()) == []
