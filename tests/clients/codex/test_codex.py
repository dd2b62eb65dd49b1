"""Codex CLI: two turns without a person, the second in the session of the first.

Its commands come from the `script.yaml` of the folder above.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.codex.cli import CONFIG, codex, done
from tests.clients.conftest import MODEL
from tests.clients.tap import Tap

pytestmark = pytest.mark.timeout(600)  # the first run installs the packages


@pytest.mark.parametrize("socket", ["false", "true"])
async def test_two_turns(node: Path, tap: Tap, tmp_path: Path, socket: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "codex").mkdir()
    (tmp_path / "codex" / "config.toml").write_text(CONFIG.format(model=MODEL, url=tap.url, socket=socket))
    first = await codex(node, tmp_path, "count the lines, Codex")
    commands = done(first, "command_execution")
    assert [command["exit_code"] for command in commands] == [0, 0, 0]
    assert done(first, "agent_message")[-1]["text"] == "There are 3 lines."
    assert first[-1]["type"] == "turn.completed"

    second = await codex(node, tmp_path, "resume", "--last", "read your note, Codex")
    outputs = [command["aggregated_output"] for command in done(second, "command_execution")]
    assert sorted(outputs) == ["", "c\n", "noted\n"]
    assert done(second, "agent_message")[-1]["text"] == "The note says noted."
    assert not (tmp_path / "work" / "letters.txt").exists()

    assert bool(tap.turns()) == (socket == "false")
    if socket == "true":
        return
    assert {turn.status for turn in tap.turns()} == {200}
    assert {turn.json["store"] for turn in tap.turns()} == {False}
    unserved = {tool["type"] for tool in tap.turns()[0].json["tools"]} - {"function"}
    assert unserved  # it sends tools that are not served here, and they are no error
