"""A container goes back to a snapshot, and everything that happens beside that."""

from __future__ import annotations

import pytest

from agent_kernel.runtime.containers.sweep import STORE_LABEL
from agent_kernel.sandboxes.base import Backend
from agent_kernel.store.rows import Rows
from tests.runtime.containers.lifecycle import Audited, Make, expire, run


async def sandboxes(backend: Backend, store: Rows) -> list[str]:
    return [ref.id for ref in await backend.list({STORE_LABEL: await store.identity()})]


@pytest.mark.on_docker
async def test_going_back(make: Make, backend: Backend, store: Rows, audited: Audited) -> None:
    containers = make()
    made = (await containers.create({"name": "mine"})).id
    await run(containers, made, "echo one >file; X=1; mkdir -p deep; cd deep; f() { echo function; }")
    first = await containers.snapshot(made, name="one", automatic=True)
    assert (first.container_id, first.name, first.automatic) == (made, "one", True)
    await run(containers, made, "cd ..; echo two >file; rmdir deep; X=2; sleep 1000 & sleep 2000 &")
    second = await containers.snapshot(made)
    assert [each.id for each in await containers.snapshots(made)] == [first.id, second.id]
    back = await containers.restore(made, first.id)
    assert back.container.id == made
    assert back.container.status == "running"
    assert list(back.ended) == ["sleep 1000", "sleep 2000"]
    assert await run(containers, made, "cat ../file; echo $X; pwd; f; jobs; ls ..") == (
        "one\n1\n/mnt/data/deep\nfunction\ndeep\nfile\n"
    )
    assert len(await sandboxes(backend, store)) == 1, "the earlier sandbox is gone"
    forth = await containers.restore(made, second.id)
    assert list(forth.ended) == []
    assert await run(containers, made, "cat file; echo $X") == "two\n2\n"
    lines = audited("restore")
    assert [line["snapshot"] for line in lines] == [first.id, second.id]
    await expire(store, containers, made)
    assert await run(containers, made, "cat file") == "two\n"
