"""A container used in every way at random: whose output is whose, what ran how often, what is left.

Each call writes a token of its own into a file and prints it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from agent_kernel.models.catalogue import Models
from agent_kernel.protocol.fold import fold
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.containers.settings import ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.store.sqlite.store import sqlite_store
from agent_kernel.tools.code_interpreter.session import CellResult, CodeCell, end_session, run_cell
from tests.runtime.containers.lifecycle import expire, until

pytestmark = pytest.mark.bubblewrap

MARK = (
    "seen = globals().get('seen', 0) + 1\nwith open('ran', 'a') as _file: _file.write('{0}\\n')\n"
    "print('{0}', seen)\n"
)
SLEEP = "import subprocess\nsubprocess.run(['sleep', '86413'])"
SESSION = "grep -alE 'AGENT_KERNEL_JOB=program/python' /proc/[0-9]*/environ"
NEW = "[A new Python session: variables of earlier calls are gone"


class MixedUse(RuleBasedStateMachine):
    """One container. `seen` counts the cells of its session, None if it has none."""

    toolbox: Toolbox
    folders: Callable[[str], Path]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.tokens = (f"token-{number}-" for number in itertools.count())
        self.written: set[str] = set()
        self.seen: int | None = None
        self.untold = False
        self.killed = False
        self.runner.run(self.begin())

    async def begin(self) -> None:
        folder = self.folders("mixed")
        store = sqlite_store(folder)
        self.rows = store.rows
        self.runtime = LocalRuntime(
            RuntimeParts(
                models=Models(upstream_url=None, upstream_key=None, default="agent_kernel/shell"),
                backend=BubblewrapBackend(folder, self.toolbox),
                store=store,
                container_settings=ContainerOptions(pause_after=0.05),
            )
        )
        self.container = (await self.runtime.containers.create({"name": "mixed"})).id

    def token(self) -> str:
        token = next(self.tokens)
        self.written.add(token)
        return token

    # -- what calls do

    async def turn(self, model: str, text: str, tool: dict[str, Any]) -> dict[str, Any]:
        """Run a cell as a user does, through the whole runtime. Return the last item."""
        include = ["code_interpreter_call.outputs"]
        request = {"model": f"agent_kernel/{model}", "input": text, "tools": [tool], "include": include}
        async with aclosing(self.runtime.respond(request)) as events:
            response = to_json(fold([event async for event in events]))
        assert response["status"] == "completed", response
        item: dict[str, Any] = response["output"][-1]
        return item

    async def shell(self, command: str) -> str:
        """Run a `!command`."""
        where = {"type": "container_reference", "container_id": self.container}
        item = await self.turn("shell", command, {"type": "shell", "environment": where})
        return str(item["output"][0]["stdout"])

    async def python(self, code: str) -> str:
        """Run a `%%python` cell."""
        tool = {"type": "code_interpreter", "container": self.container}
        item = await self.turn("python", code, tool)
        return "".join(each["logs"] for each in item["outputs"])

    async def cell(self, code: str, name: str, seconds: float = 60) -> CellResult:
        async with self.runtime.containers.use(self.container, to_run=True) as channel:
            return await run_cell(channel, CodeCell(name, code, seconds, 2000))

    def counted(self, logs: str, token: str) -> int:
        """Check the output of a cell that ran to its end, and return what it counted."""
        if self.untold:
            note, _, logs = logs.partition("\n")
            assert note.startswith(NEW), note
            assert ": seen." in note, note
            self.untold = False
        word, _, number = logs.rstrip("\n").partition(" ")
        assert word == token
        return int(number)

    def have_a_session(self) -> None:
        """Begin a session if there is none. Rules have no preconditions, so each run draws the same ones."""
        if self.untold or self.seen is None:
            self.code_runs()

    def lose(self) -> None:
        self.untold = self.untold or self.seen is not None
        self.seen = None

    def run(self, steps: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(steps)

    # -- the rules

    @rule()
    def code_runs(self) -> None:
        token = self.token()
        found = self.run(self.cell(MARK.format(token), token))
        if self.killed and found.status == "ended":  # it was sent before the sandbox knew
            assert "Its variables are gone: seen." in found.logs
            self.untold, token = False, self.token()
            found = self.run(self.cell(MARK.format(token), token))
        self.killed = False
        assert found.status == "ok", found
        assert self.counted(found.logs, token) == (self.seen or 0) + 1
        self.seen = (self.seen or 0) + 1

    @rule()
    def command_runs(self) -> None:
        token = self.token()
        assert self.run(self.shell(f"echo {token} >>ran; echo {token}")) == f"{token}\n"

    @rule()
    def the_user_runs_code(self) -> None:
        self.have_a_session()
        token = self.token()
        logs = self.run(self.python(MARK.format(token)))
        assert self.counted(logs, token) == (self.seen or 0) + 1
        self.seen = (self.seen or 0) + 1

    @rule()
    def calls_run_at_once(self) -> None:
        self.have_a_session()
        one, two, three = self.token(), self.token(), self.token()

        async def all_of_them() -> tuple[CellResult, str, str]:
            return await asyncio.gather(
                self.cell(MARK.format(one), one),
                self.python(MARK.format(two)),
                self.shell(f"echo {three} >>ran; echo {three}"),
            )

        first, second, printed = self.run(all_of_them())
        seen = self.seen or 0
        assert {self.counted(first.logs, one), self.counted(second, two)} == {seen + 1, seen + 2}
        assert printed == f"{three}\n"
        self.seen = seen + 2

    @rule()
    def code_is_asked_for_again(self) -> None:
        self.code_runs()
        token = self.token()
        first, again = [self.run(self.cell(MARK.format(token), token)) for _ in range(2)]
        assert first.logs == again.logs
        self.seen = (self.seen or 0) + 1

    @rule()
    def code_takes_too_long(self) -> None:
        self.have_a_session()
        token = self.token()
        found = self.run(self.cell(MARK.format(token) + SLEEP, token, 0.7))
        assert found.status == "timed_out"
        others = [each for each in self.written if each != token and each in found.logs]
        assert others == []
        self.catch_up()

    @rule(by_user=st.booleans())
    def code_is_interrupted(self, by_user: bool) -> None:
        self.have_a_session()
        token = self.token()
        code = MARK.format(token) + SLEEP

        async def interrupted() -> None:
            cell = asyncio.create_task(self.python(code) if by_user else self.cell(code, token))
            await self.shell(f"until grep -qs {token} ran; do sleep 0.02; done")
            cell.cancel()
            with suppress(asyncio.CancelledError):
                await cell

        self.run(interrupted())
        self.catch_up()

    def catch_up(self) -> None:
        """Ask the session how often it has counted: an interrupted cell may have, or not."""
        token = self.token()
        found = self.run(self.cell(MARK.format(token), token))
        counted = self.counted(found.logs, token)
        assert (self.seen or 0) + 1 <= counted <= (self.seen or 0) + 2
        self.seen = counted

    @rule()
    def code_ends_the_session(self) -> None:
        self.have_a_session()
        token = self.token()
        found = self.run(self.cell(MARK.format(token) + "import os; os._exit(3)", token))
        assert found.status == "ended"
        assert "Its variables are gone: seen." in found.logs
        self.seen, self.untold = None, False

    @rule()
    def a_command_kills_the_session(self) -> None:
        self.have_a_session()
        self.run(self.shell(f"{SESSION} | sed 's|/proc/||; s|/environ||' | xargs kill -9"))
        self.killed = True
        self.lose()

    @rule()
    def the_session_is_restarted(self) -> None:
        async def restart() -> None:
            async with self.runtime.containers.use(self.container, to_run=True) as channel:
                await end_session(channel)

        self.run(restart())
        self.lose()

    @rule()
    def the_container_pauses(self) -> None:
        attachment = self.runtime.containers._lifecycle.attachment(self.container)
        self.run(until(lambda: attachment.paused or attachment.channel is None))

    @rule()
    def the_container_expires(self) -> None:
        self.run(expire(self.rows, self.runtime.containers, self.container))
        self.lose()

    # -- the end

    def teardown(self) -> None:
        try:
            self.run(self.end())
        finally:
            self.runner.close()

    async def end(self) -> None:
        try:
            async with self.runtime.containers.use(self.container, to_run=True) as channel:
                await end_session(channel)
            ran = (await self.shell("cat ran 2>/dev/null; true")).splitlines()
            assert len(ran) == len(set(ran)), "something ran twice"
            assert set(ran) <= self.written
            assert await self.shell(f"{SESSION} | wc -l") == "0\n"
            assert await self.shell("grep -alE '[s]leep.86413' /proc/[0-9]*/cmdline | wc -l") == "0\n"
        finally:
            await self.runtime.containers.delete(self.container)
            await self.runtime.aclose()


def check(toolbox: Toolbox, folders: pytest.TempPathFactory, examples: int, steps: int) -> None:
    machine = type("Machine", (MixedUse,), {"toolbox": toolbox, "folders": staticmethod(folders.mktemp)})
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=examples < 10,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take longer than reading the steps
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)


def test_mixed_use(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(toolbox, tmp_path_factory, 3, 12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_mixed_use_for_long(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(toolbox, tmp_path_factory, 60, 30)
