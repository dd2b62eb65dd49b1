"""boxd compiled ahead: the same sources, found again, made anew when they change."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_kernel.sandboxes.bubblewrap import compiled as compiled_module
from agent_kernel.sandboxes.bubblewrap.compiled import compiled
from agent_kernel.sandboxes.launch import SOURCE


def test_the_sources_and_a_compiled_module_each(tmp_path: Path) -> None:
    folder = compiled(tmp_path / "boxd")
    sources = {path.relative_to(SOURCE): path.read_bytes() for path in SOURCE.rglob("*.py")}
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py")} == sources
    assert len(list(folder.rglob("__pycache__/*"))) == len(sources)
    assert compiled(tmp_path / "boxd") == folder


def test_python_takes_the_compiled_modules(tmp_path: Path) -> None:
    folder = compiled(tmp_path)
    (tmp_path / "boxd").symlink_to(folder)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import boxd.server"
    done = subprocess.run([sys.executable, "-ISBv", "-c", code], capture_output=True, text=True, check=True)
    assert "code object from" in done.stderr
    assert f"code object from '{tmp_path}/boxd/server.py'" not in done.stderr
    assert done.stderr.count("matches") >= len(list(folder.glob("s*.py")))


def test_other_sources_make_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiled(tmp_path / "boxd")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "__init__.py").write_text("other = 1\n")
    monkeypatch.setattr(compiled_module, "SOURCE", tmp_path / "source")
    assert compiled(tmp_path / "boxd") != first


def test_two_at_once_make_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(compiled, [tmp_path / "boxd"] * 4))
    assert len(found) == 1
    assert list((tmp_path / "boxd").iterdir()) == list(found)
