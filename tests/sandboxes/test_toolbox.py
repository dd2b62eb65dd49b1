"""The toolbox: prepared once, whole or not at all, and quiet inside a sandbox."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.errors import PreparationFailed
from agent_kernel.sandboxes import toolbox as module
from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.toolbox import HOME, MOUNT, REQUIREMENTS, Toolbox


def test_requirements_are_hashed_and_name_no_host() -> None:
    text = REQUIREMENTS.read_text()
    pins = re.findall(r"^(\w[\w.-]*)==\S+", text, flags=re.MULTILINE)
    blocks = re.split(r"\n(?=\w)", text.strip())
    assert {"pandas", "numpy", "matplotlib", "openpyxl", "pyarrow"} <= set(pins)
    assert len(blocks) == len(pins)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_another_requirement_is_another_toolbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Toolbox(tmp_path)
    assert not before.ready()
    changed = tmp_path / "toolbox.txt"
    changed.write_text(REQUIREMENTS.read_text() + "# more\n")
    monkeypatch.setattr(module, "REQUIREMENTS", changed)
    assert Toolbox(tmp_path).path != before.path


def test_no_index_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(PreparationFailed) as caught:
        Toolbox(tmp_path).prepare(lambda line: None)
    assert "No matching distribution" in caught.value.message
    assert "index" in (caught.value.hint or "")
    assert [path.name for path in (tmp_path / "toolbox").iterdir()] == ["lock"]


def test_steps_get_index_settings_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = ["PATH", "HOME", "PIP_INDEX_URL", "UV_INDEX_URL", "https_proxy", "NO_PROXY", "SSL_CERT_FILE"]
    kept_back = [
        "OPENAI_API_KEY",
        "AGENT_KERNEL_DATABASE",
        "MY_PATH",
        "PIP_TARGET",
        "PYTHONPATH",
        "VIRTUAL_ENV",
    ]
    for name in passed[1:] + kept_back:
        monkeypatch.setenv(name, "x")
    lines: list[str] = []
    module._run([sys.executable, "-c", "import os; print(*os.environ)"], lines.append, environment={"A": "1"})
    names = set(lines[0].split())
    assert {*passed, "A"} <= names
    assert not names & set(kept_back)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PreparationFailed, match="cannot be written"):
        Toolbox(tmp_path / "file").prepare(lambda line: None)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_at_once_prepare_one(tmp_path: Path, toolbox: Toolbox) -> None:
    # What a killed preparation left is cleared away, too. (The shared toolbox shows that there is an index.)
    remains = tmp_path / "toolbox" / ".building-killed"
    remains.mkdir(parents=True)
    (Toolbox(tmp_path).path / "venv").mkdir(parents=True)
    script = f"from agent_kernel.sandboxes.toolbox import *; Toolbox(Path({str(tmp_path)!r})).prepare()"
    both = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("Installing" in text for text in said) == [False, True]
    prepared = Toolbox(tmp_path)
    assert prepared.ready()
    assert sorted(path.name for path in (tmp_path / "toolbox").iterdir()) == sorted(
        ["lock", prepared.path.name]
    )
    scripts = [path for path in (prepared.path / "venv" / "bin").iterdir() if not path.is_symlink()]
    named = [path for path in scripts if path.read_bytes().startswith(b"#!")]
    assert named
    assert all(path.read_bytes().startswith(f"#!{MOUNT}/bin/python".encode()) for path in named)
    assert str(tmp_path) not in "".join(path.read_text(errors="replace") for path in scripts)


@contextlib.asynccontextmanager
async def opened(backend: BubblewrapBackend) -> AsyncIterator[Channel]:
    ref = await backend.create(SandboxSpec(f"test-{os.getpid()}"))
    try:
        channel = await Channel.open(await backend.stream(ref))
        yield channel
        await channel.aclose()
    finally:
        await backend.delete(ref)


async def run(channel: Channel, command: str) -> tuple[str, int]:
    said, code = b"", -1
    async for event in channel.run(command):
        if isinstance(event, Output):
            said += event.data
        elif isinstance(event, Exited):
            code = event.code
    return said.decode(), code


@pytest.mark.bubblewrap
async def test_inside_a_sandbox(bubblewrap_backend: BubblewrapBackend) -> None:
    async with opened(bubblewrap_backend) as channel:
        assert await run(channel, "command -v python3 f2py") == (
            f"{MOUNT}/bin/python3\n{MOUNT}/bin/f2py\n",
            0,
        )
        assert (await run(channel, "f2py -v"))[1] == 0
        said, code = await run(
            channel,
            "cp -r ~/.cache before; python3 -W error -c "
            "'import pandas, matplotlib.pyplot as p; p.plot([1]); p.savefig(\"plot.png\")' && "
            "diff -r before ~/.cache && head -c 4 plot.png | tail -c 3",
        )
        assert (said, code) == ("PNG", 0)
        _, code = await run(channel, f"touch {MOUNT}/x || rm -r {MOUNT}/lib/python3*/site-packages/pandas")
        assert code != 0


ANALYSIS = (
    "scipy.stats, sklearn, statsmodels.api, seaborn, lxml.html, xlrd, python_calamine, pyreadstat, "
    "duckdb, polars"
)
CHART = "import matplotlib.pyplot as p; p.title('日本 中国'); p.savefig('font.png')"


@pytest.mark.bubblewrap
async def test_analysis_packages_and_fonts(bubblewrap_backend: BubblewrapBackend) -> None:
    async with opened(bubblewrap_backend) as channel:
        assert await run(channel, f"python3 -c 'import {ANALYSIS}'") == ("", 0)
        assert await run(channel, f'python3 -W error -c "{CHART}"') == ("", 0)


@pytest.mark.bubblewrap
async def test_packages_of_the_host_stay_outside(bubblewrap_backend: BubblewrapBackend) -> None:
    async with opened(bubblewrap_backend) as channel:
        path, _ = await run(channel, "python3 -c 'import sys; print(*sys.path)'")
        inside = (MOUNT, HOME)
        assert not [entry for entry in path.split() if "packages" in entry and not entry.startswith(inside)]
        host = Path(
            sys.base_prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages"
        )
        if not host.is_relative_to("/usr") or host.is_relative_to("/usr/local"):
            assert await run(channel, f"ls {host}") == ("", 0)
