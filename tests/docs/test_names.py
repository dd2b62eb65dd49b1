"""docs/extensions.md lists every label of ours; docs/security.md is true of the data folder."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from agent_kernel import config
from agent_kernel.cli import compose
from agent_kernel.errors import ConfigurationError
from tests.conftest import CHECKOUT


def test_every_label_is_in_the_table() -> None:
    sources = "\n".join(path.read_text() for path in (CHECKOUT / "agent_kernel").rglob("*.py"))
    labels = set(re.findall(r'^[A-Z_]+_LABEL = "(agent_kernel\.\w+)"$', sources, re.MULTILINE))
    assert len(labels) > 10
    table = (CHECKOUT / "docs" / "extensions.md").read_text()
    rows = [line for line in table.splitlines() if "labels" in line.partition("|")[2].partition("|")[0]]
    assert sorted(label for label in labels if not any(f"`{label}`" in row for row in rows)) == []


def settings(folder: Path) -> config.Settings:
    return config.load(environ={"AGENT_KERNEL_DATA_DIR": str(folder)}, folders=[])


async def test_open_data_folder_is_closed_to_others(tmp_path: Path) -> None:
    said = " ".join((CHECKOUT / "docs" / "security.md").read_text().split())
    assert "in a folder that only its user can read" in said
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    await compose.store(settings(folder)).aclose()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_data_folder_that_cannot_be_closed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(ConfigurationError, match="open to other users") as caught:
        compose.store(settings(folder))
    assert caught.value.hint
