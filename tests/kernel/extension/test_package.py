"""The extension in the wheel and the source distribution: built, small, and each file once."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from jupyter_builder.federated_extensions_requirements import get_federated_extensions

from tests.conftest import CHECKOUT
from tests.kernel.lab import EXTENSION

PLACE = f"share/jupyter/labextensions/{EXTENSION}"
LIVE_VIEW = {f"agent_kernel/kernel/live/static/live.{kind}" for kind in ("js", "css")}
LARGEST_LIVE_VIEW = 60_000
"""Bytes after gzip of the live view's bundle, which the page gets with each widget."""

LARGEST_FIRST_LOAD = 150_000
"""Bytes after gzip of everything that a page loads before the extension is used."""

LAZY = {"chart-plotly": 1_600_000, "chart-vega": 300_000, "markdown": 60_000}
"""Bytes after gzip of what is loaded when it is needed, by the beginning of the file's name."""


@pytest.fixture(scope="module")
def package(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a distribution, "wheel" or "sdist", without Node."""
    folder = tmp_path_factory.mktemp("dist")
    return cache(lambda target: build(target, CHECKOUT, folder))


def build(target: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, env=without_node())
    return next(folder.glob("*.whl" if target == "wheel" else "*.tar.gz"))


def without_node() -> dict[str, str]:
    return {**os.environ, "PATH": os.path.dirname(sys.executable), "AGENT_KERNEL_REQUIRE_ALL": "1"}


def test_first_load_of_the_bundle_is_small(built: Path) -> None:
    files = [path for path in (built / "static").iterdir() if path.suffix in (".js", ".css")]
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in files}
    first = {name: size for name, size in sizes.items() if not name.startswith((*LAZY,))}
    print(f"First load: {sum(first.values()):,} bytes after gzip. When needed:")
    for beginning, most in LAZY.items():
        (size,) = (size for name, size in sizes.items() if name.startswith(beginning))
        print(f"{beginning}: {size:,} bytes after gzip")
        assert 0 < size <= most
    assert 0 < sum(first.values()) <= LARGEST_FIRST_LOAD, first


def test_live_view_is_small_and_loads_nothing(built: Path) -> None:
    code = (CHECKOUT / "agent_kernel" / "kernel" / "live" / "static" / "live.js").read_bytes()
    assert 0 < len(gzip.compress(code)) <= LARGEST_LIVE_VIEW
    assert not re.findall(rb"\bimport\s*[({\"']|\bfetch\(|XMLHttpRequest|\.innerHTML\b", code)


def test_wheel_installs_the_extension_without_node(
    package: Callable[[str], Path], built: Path, tmp_path: Path
) -> None:
    wheel = package("wheel")
    with zipfile.ZipFile(wheel) as archive:
        names = Counter(name.rpartition(".data/data/")[2] for name in archive.namelist())
    expected = {f"{PLACE}/{path.relative_to(built)}" for path in built.rglob("*") if path.is_file()}
    expected.add(f"{PLACE}/install.json")
    assert [name for name, count in names.items() if count > 1] == []
    assert {name for name in names if EXTENSION in name and name.startswith("share/")} == expected
    assert not any("node_modules" in name or name.startswith("extension/") for name in names)
    assert names.keys() >= LIVE_VIEW

    environment = tmp_path / "environment"
    uv("venv", "--python", sys.executable, str(environment))
    uv("pip", "install", "--no-deps", "--python", str(environment), str(wheel))
    extensions = str(environment / "share" / "jupyter" / "labextensions")
    found = get_federated_extensions([extensions])
    assert found[EXTENSION]["version"] == json.loads((built / "package.json").read_text())["version"]
    uv("pip", "uninstall", "--python", str(environment), "jupyter-agent-kernel")
    assert EXTENSION not in get_federated_extensions([extensions])


def uv(*arguments: str) -> None:
    subprocess.run(["uv", "--quiet", "--offline", *arguments], check=True, env=without_node())


def test_source_distribution_builds_the_same_wheel(package: Callable[[str], Path], tmp_path: Path) -> None:
    with tarfile.open(package("sdist")) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
        archive.extractall(tmp_path, filter="data")
    assert "extension/labextension/package.json" in names
    assert "extension/src/index.ts" in names
    assert set(names) >= LIVE_VIEW
    assert not any("node_modules" in name for name in names)
    (source,) = tmp_path.iterdir()
    with (
        zipfile.ZipFile(build("wheel", source, tmp_path / "dist")) as rebuilt,
        zipfile.ZipFile(package("wheel")) as wheel,
    ):
        assert sorted(rebuilt.namelist()) == sorted(wheel.namelist())


def test_versions_of_both_halves_are_equal() -> None:
    from agent_kernel import __version__

    assert json.loads((CHECKOUT / "extension" / "package.json").read_text())["version"] == __version__


def test_lock_names_no_registry() -> None:
    lock = json.loads((CHECKOUT / "extension" / "package-lock.json").read_text())
    assert len(lock["packages"]) > 100
    assert [name for name, each in lock["packages"].items() if "resolved" in each] == []
