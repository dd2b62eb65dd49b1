"""The session in R: the same contract as Python's, where the image has R."""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import docker
import pytest
import pytest_asyncio

from agent_kernel.errors import InvalidRequest
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.code_interpreter.session import CellResult, CodeCell, end_session, run_cell
from agent_kernel.tools.code_interpreter.tool import CODE_INTERPRETER
from agent_kernel.tools.request import read_tools
from tests.conftest import Missing
from tests.sandboxes.inside import Sandbox, started
from tests.tools.code_interpreter.conftest import Run

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]
_NAMES = itertools.count()
LIMIT = 2000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(
    toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory, missing: Missing
) -> AsyncIterator[Sandbox]:
    """A sandbox with the host's R."""
    if shutil.which("R") is None:
        missing("R is missing: apt-get install r-base-core")
    backend = BubblewrapBackend(tmp_path_factory.mktemp("sandboxes"), toolbox)
    async with started(backend) as sandbox:
        yield sandbox
    await backend.aclose()


@pytest.fixture
def run(sandbox: Sandbox) -> Run:
    async def run(code: str, seconds: float = 60) -> CellResult:
        cell = CodeCell(f"r/{next(_NAMES)}", code, seconds, LIMIT, language="r")
        return await run_cell(sandbox.channel, cell)

    return run


async def test_values_are_printed_and_variables_kept(run: Run) -> None:
    first = await run("x <- c(1, 2, 3)\ncat('hi\\n')\nmean(x)\ninvisible(9)")
    assert (first.status, first.logs) == ("ok", "hi\n[1] 2\n")
    second = await run("x[2] * 21; 'é'")
    assert (second.logs, second.session) == ('[1] 42\n[1] "é"\n', first.session)
    table = await run("data.frame(a = 1:2, b = c('x', 'y'))")
    assert table.logs == "  a b\n1 1 x\n2 2 y\n"


async def test_output_of_all_kinds_is_in_order(run: Run) -> None:
    code = "cat('a\\n')\nsystem('echo b')\nmessage('c')\nwarning('d')\nprint('e')"
    assert (await run(code)).logs == 'a\nb\nc\nWarning: d\n[1] "e"\n'


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("f <- function() stop('broken')\ncat('before\\n')\nf()", "before\nError in f(): broken\n"),
        ("unknown", "Error: object 'unknown' not found\n"),
        ("x <- (", "Error: <text>:2:0: unexpected end of input\n"),
    ],
)
async def test_an_error_is_told(run: Run, code: str, told: str) -> None:
    found = await run(code)
    assert found.status == "error"
    assert found.logs.startswith(told)
    assert (await run("1")).logs == "[1] 1\n"


async def test_plots_are_pictures(run: Run) -> None:
    found = await run("plot(1:3)\nhist(c(1, 2, 2))\n'drawn'")
    assert (found.status, len(found.images)) == ("ok", 2), found.logs
    assert all(each.startswith("data:image/png;base64,iVBOR") for each in found.images)
    assert found.logs == '[1] "drawn"\n'
    assert (await run("1")).images == ()


async def test_a_timeout_keeps_the_session(run: Run) -> None:
    before = await run("kept <- 5")
    found = await run("cat('begun\\n')\nwhile (TRUE) {}", seconds=1)
    assert found.status == "timed_out"
    assert found.logs.startswith("begun\n")
    assert "[The cell took longer than 1 s and was stopped; the variables are kept.]" in found.logs
    after = await run("kept")
    assert (after.logs, after.session) == ("[1] 5\n", before.session)


async def test_nobody_answers_a_question(run: Run) -> None:
    assert (
        await run("readline('name? ')\nreadLines(file('stdin'))")
    ).logs == 'name? \n[1] ""\ncharacter(0)\n'


async def test_its_end_names_the_variables(run: Run, sandbox: Sandbox) -> None:
    await run("rm(list = ls())\nmy.frame <- 1\nrate <- 2")
    found = await run("quit(status = 3)")
    assert found.status == "ended"
    note = "The R session ended (exit code 3). Its variables are gone: my.frame, rate."
    assert found.logs == f"[{note} The next call begins a new one.]\n"
    await run("again <- 1")
    await end_session(sandbox.channel, "r")
    new = "[A new R session: variables of earlier calls are gone: again.]"
    assert (await run("exists('again')")).logs == f"{new}\n[1] FALSE\n"


async def test_it_lives_beside_python(run: Run, sandbox: Sandbox) -> None:
    await run("x <- 'of R'")
    python = await run_cell(sandbox.channel, CodeCell("python/1", "x = 'of Python'\nx", 60, LIMIT))
    assert (python.logs, (await run("x")).logs) == ("'of Python'\n", '[1] "of R"\n')


async def test_variables_brought_later_reach_it(run: Run, sandbox: Sandbox) -> None:
    await run("1")
    await sandbox.channel.set_variables({"BROUGHT": 'a "b" \\ é'})
    assert (await run("cat(Sys.getenv('BROUGHT'))")).logs == 'a "b" \\ é'
    await sandbox.channel.set_variables({"BROUGHT": None})
    assert (await run("Sys.getenv('BROUGHT')")).logs == '[1] ""\n'


@pytest.mark.docker
@pytest.mark.asyncio(loop_scope="function")
async def test_an_image_without_r_is_told(docker_backend: DockerBackend) -> None:
    async with started(docker_backend) as sandbox:
        found = await run_cell(sandbox.channel, CodeCell("r/1", "1", 60, LIMIT, language="r"))
        python = await run_cell(sandbox.channel, CodeCell("python/1", "1", 60, LIMIT))
    assert (found.status, found.logs) == ("ended", "[The container has no R: R cannot be started.]\n")
    assert python.logs == "1\n"


@pytest.fixture
def image_with_r(docker_engine: None, own_environment: dict[str, str]) -> Iterator[str]:
    """An image of the project's own recipe with Debian's R. It is removed after the test."""
    name = f"agent-kernel-test:{secrets.token_hex(6)}"
    words = ["image", "build", "--packages", "r-base-core", "--name", name]
    command = [sys.executable, "-m", "agent_kernel", *words]
    subprocess.run(command, env=own_environment, check=True, capture_output=True)  # takes minutes
    yield name
    engine = docker.from_env()
    engine.images.remove(name, force=True)
    engine.close()


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(1800)
@pytest.mark.asyncio(loop_scope="function")
async def test_r_runs_on_docker_where_the_image_has_it(image_with_r: str) -> None:
    backend = DockerBackend(image_with_r)
    async with started(backend) as sandbox:

        async def run(code: str, seconds: float = 60) -> CellResult:
            return await run_cell(
                sandbox.channel, CodeCell(f"r/{next(_NAMES)}", code, seconds, LIMIT, language="r")
            )

        assert (await run("x <- c(1, 2, 6)\nmean(x)")).logs == "[1] 3\n"
        drawn = await run("plot(x)\nlength(x)")
        assert (len(drawn.images), drawn.logs) == (1, "[1] 3\n")
        assert (await run("while (TRUE) {}", seconds=2)).status == "timed_out"
        assert (await run("stop('no such river')")).logs == "Error: no such river\n"
        assert (await run("length(x)")).logs == "[1] 3\n"
    await backend.aclose()


@pytest.mark.parametrize(
    ("ours", "param"),
    [
        ("r", "tools[0].agent_kernel"),
        ({"lang": "r"}, "tools[0].agent_kernel"),
        ({"language": "julia"}, "tools[0].agent_kernel.language"),
        ({"language": ["r"]}, "tools[0].agent_kernel.language"),
    ],
    ids=["text", "field", "language", "list"],
)
async def test_an_unknown_language_is_refused(ours: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_tools([{"type": "code_interpreter", "container": {"type": "auto"}, "agent_kernel": ours}])
    assert refused.value.param == param


async def test_models_read_which_language_it_is() -> None:
    for ours, word in (({"language": "r"}, "Run R code"), ({}, "Run Python code"), (None, "Run Python code")):
        spec = {"type": "code_interpreter", "container": {"type": "auto"}, "agent_kernel": ours}
        (entry,) = read_tools([spec])
        assert word in json.dumps(CODE_INTERPRETER.function_spec(entry))
