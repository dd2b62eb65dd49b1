"""openai-node: one script, which prints what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import KEY
from tests.clients.node import run_script
from tests.clients.tap import Tap

pytestmark = pytest.mark.timeout(600)  # the first run installs the packages
SECOND_TURN = ["/mnt/data/run\n", "sum: 108 mm\n", "42\n", "2\n"]


async def test_openai_node(node: Path, tap: Tap) -> None:
    saw = await run_script(node, "openai-node.mjs", tap.url, KEY)
    assert saw["twoTurns"] == {
        "said": ["There are 6 numbers.", "They add up to 108 mm."],
        "printed": SECOND_TURN,
    }
    assert saw["onASocket"] == saw["twoTurns"]
    assert saw["streamed"]["said"] == "They add up to 108 mm."
    assert saw["streamed"]["printed"] == SECOND_TURN
    assert "response.shell_call_output_content.delta" in saw["streamed"]["types"]
    assert saw["files"]["found"] == {
        "/mnt/data/ü.csv": "a,b\n1,2\n",
        "/mnt/data/run/numbers.txt": "4\n8\n15\n16\n23\n42\n",
    }
    assert saw["files"]["gone"] == 404
    assert saw["functions"] == {"printed": ["one\n", "two\n", "three\n"], "said": "Outside 30."}
    assert "nobody printed" in saw["failure"]["message"]
