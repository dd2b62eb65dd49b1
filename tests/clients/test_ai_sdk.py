"""Vercel's AI SDK: one script, which prints what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import KEY, MODEL
from tests.clients.node import run_script
from tests.clients.tap import Tap

pytestmark = pytest.mark.timeout(600)  # the first run installs the packages
SECOND_TURN = ["/mnt/data/run\n", "sum: 108 mm\n", "42\n", "2\n"]


async def test_ai_sdk(node: Path, tap: Tap, documents: str) -> None:
    saw = await run_script(node, "ai-sdk.mjs", tap.url, KEY, MODEL, STORE=documents)
    assert saw["twoTurns"] == {
        "said": ["There are 6 numbers.", "They add up to 108 mm."],
        "printed": SECOND_TURN,
        "executed": True,
    }
    assert saw["streamed"] == {"said": "They add up to 108 mm.", "printed": SECOND_TURN, "finish": "stop"}
    assert saw["unstored"] == {"said": "Outside 30.", "printed": ["one\n", "two\n", "three\n"]}
    assert saw["stored"] == {"said": "Inside 21, outside 4.", "printed": ["21\n", "21\n", "", "done\n"]}
    assert saw["history"] == "Hello there."
    sums = ["They add up to 208.", "They add up to 308."]
    assert saw["python"] == {"said": ["There are 6 numbers.", *sums], "logs": ["kept\n6\n", "208\n"]}
    assert saw["web"] == {
        "said": ["They rise 14 metres", "It is Far away ([moon](https://moon.example.org/))."],
        "found": [2],
        "cited": "https://moon.example.org/",
    }
    assert saw["documents"] == {
        "said": ["It is cooled with liquid sodium [reactor.md].", "Sailing needs wind [other.md]."],
        "queries": [["coolant"]],
        "cited": ["reactor.md", "other.md"],
    }
