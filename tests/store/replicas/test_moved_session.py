"""A team that outgrows one machine takes its sessions along, from SQLite into PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.runtime.kept import KeptSession
from agent_kernel.runtime.local import LocalRuntime
from tests.cli.moving import Environment, cleared, done, in_runtime, kept, other_folder, shell
from tests.runtime.test_contract import run, turn
from tests.store.postgres import Postgres


@pytest.mark.bubblewrap
def test_a_session_moves_from_sqlite_into_postgres_and_back(
    own_environment: Environment, postgres: Postgres, tmp_path: Path
) -> None:
    for name in ("there", "back"):
        (tmp_path / name).mkdir()
    before = other_folder(own_environment, tmp_path, "bubblewrap")
    after = other_folder(own_environment, tmp_path / "there", "bubblewrap")
    after["AGENT_KERNEL_STORE"] = postgres.new()
    back = other_folder(own_environment, tmp_path / "back", "bubblewrap")

    async def make(runtime: LocalRuntime) -> KeptSession:
        return await kept(runtime, ["Hello!"], ["echo kept >note"])

    async def go_on(runtime: LocalRuntime) -> tuple[str, str]:
        moved = await runtime.kept_session(made.id)
        assert moved.container_id is not None
        again = await turn(
            runtime, "And again?", previous_response_id=moved.response_id, **shell(moved.container_id)
        )
        return await run(runtime, "cat note", moved.container_id), again.output_text

    made = in_runtime(before, make)
    file = tmp_path / "moved.session"
    for one, other in ((before, after), (after, back)):
        done("export", made.id, str(file), environment=one)
        assert done("import", str(file), environment=other).startswith(f"{made.id}: 1 turn")
        assert in_runtime(other, go_on) == ("kept\n", "Again.")
        file.unlink()
    assert not (Path(after["AGENT_KERNEL_DATA_DIR"]) / "store.sqlite").exists()
    for environment in (before, after, back):
        in_runtime(environment, cleared)
