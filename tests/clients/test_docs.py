"""The snippets of docs/clients.md, as they stand there."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.clients.codex.cli import CATALOG, CONFIG
from tests.clients.conftest import KEY, MODEL
from tests.clients.node import PACKAGES, environment
from tests.clients.tap import Tap
from tests.conftest import CHECKOUT, Missing

pytestmark = pytest.mark.timeout(600)  # the first run installs the packages
PAGE = (CHECKOUT / "docs" / "clients.md").read_text()
SNIPPETS = re.findall(r"^## ([^\n]+)\n.*?^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8642/v1"


def of(*languages: str) -> list[object]:
    return [pytest.param(code, id=title) for title, language, code in SNIPPETS if language in languages]


async def output(*command: str | Path, node: Path, url: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment(node, OPENAI_BASE_URL=url, OPENAI_API_KEY=KEY),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    return out.decode()


def played(code: str) -> str:
    assert "openai/gpt-5" in code
    return code.replace("openai/gpt-5", MODEL)


@pytest.mark.parametrize("code", of("python"))
async def test_python(code: str, node: Path, tap: Tap, tmp_path: Path) -> None:
    said = await output(sys.executable, "-c", played(code), node=node, url=tap.url, cwd=tmp_path)
    assert said.endswith("They add up to 108 mm.\n")


@pytest.mark.parametrize("code", of("js"))
async def test_node(code: str, node: Path, tap: Tap) -> None:
    command = (node, "--input-type=module", "--eval", played(code))
    said = await output(*command, node=node, url=tap.url, cwd=PACKAGES)
    assert said == "They add up to 108 mm.\n"


@pytest.mark.parametrize("code", of("toml"))
def test_the_configuration_of_codex_is_what_its_test_uses(code: str) -> None:
    documented = tomllib.loads(code)
    used = tomllib.loads(CONFIG.format(model="openai/gpt-5", url=ADDRESS, socket="false"))
    provider = documented.pop("model_providers")["agent_kernel"]
    assert provider.items() <= used["model_providers"]["agent_kernel"].items()
    assert documented.items() <= used.items()


def test_the_described_model_of_codex_is_the_one_of_its_test() -> None:
    (documented,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert documented == CATALOG


@pytest.mark.parametrize("code", of("sh"))
async def test_curl(code: str, node: Path, tap: Tap, tmp_path: Path, missing: Missing) -> None:
    if shutil.which("curl") is None:
        missing("curl is missing: apt-get install curl")
    said = await output("sh", "-c", code, node=node, url=tap.url, cwd=tmp_path)
    assert "There are 6 numbers." in said


def test_every_client_is_there() -> None:
    titles = [title for title, _, _ in SNIPPETS]
    assert titles == [
        "openai (Python)",
        "openai (Node)",
        "openai-agents",
        "LangChain",
        "Vercel AI SDK",
        "Codex CLI",
        "Anything else",
    ]
