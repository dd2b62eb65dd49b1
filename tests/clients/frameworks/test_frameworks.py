"""Frameworks in environments of their own: two turns with the shell, then two agents.

Each runs unchanged, as its script in `scripts` shows.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.clients.conftest import KEY, MODEL
from tests.clients.frameworks import environment
from tests.clients.tap import Tap
from tests.conftest import Missing
from tests.docs.tables import rows, section
from tests.environments import EnvironmentMissing

pytestmark = pytest.mark.timeout(900)  # the first run makes the environment

AGENTS = {
    "langgraph": ["There are 6 numbers.", "They add up to 108 mm."],
    "llama_index": ["librarian", "The librarian found Moby-Dick."],
    "crewai": ["There are 6 numbers.", "They add up to 108 mm."],
    "autogen": ["There are 6 numbers.", "I read: six."],
}
"""What the two agents of each framework say; of LlamaIndex the last agent and its answer."""


@pytest.mark.shown_on("langgraph")
@pytest.mark.parametrize("name", AGENTS)
async def test_two_turns_and_two_agents(name: str, tap: Tap, tmp_path: Path, missing: Missing) -> None:
    try:
        saw = await environment.run(name, tap.url, KEY, MODEL, tmp_path)
    except EnvironmentMissing as why:
        missing(str(why))
    assert saw["turns"] == ["There are 6 numbers.", "They add up to 108 mm."]
    assert saw["agents"] == AGENTS[name]
    assert {turn.status for turn in tap.turns()} == {200}
    assert all({"type": "shell"}.items() <= turn.json["tools"][0].items() for turn in tap.turns())


def test_documented_versions_are_those_tested() -> None:
    table = rows(
        section("clients.md", "Agent frameworks"),
        "framework",
        "version",
        "model",
        "two agents",
        "what to know",
    )
    documented = {row[0]: row[1] for row in table}
    packages = {
        "LangGraph": "langgraph",
        "LlamaIndex": "llama-index-core",
        "CrewAI": "crewai",
        "AutoGen": "autogen-ext",
    }
    locks = "".join(lock.read_text() for lock in (environment.FOLDER / "locks").glob("*.txt"))
    tested = {}
    for name, package in packages.items():
        (found,) = re.findall(rf"^{package}==(\d+\.\d+)", locks, re.MULTILINE)
        tested[name] = found
    here = {"openai-agents": "openai-agents", "Pydantic AI": "pydantic-ai-slim"}
    tested |= {name: ".".join(version(package).split(".")[:2]) for name, package in here.items()}
    assert documented == {**tested, "smolagents": "1.26"}
