"""Complete deletion of sessions: what every runtime does, in this process or over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.runtime.base import Runtime
from agent_kernel.runtime.deleting import DeletesSessions
from agent_kernel.runtime.kept import KeepsSessions, KeptSession
from agent_kernel.runtime.local import LocalRuntime
from tests.runtime.containers.lifecycle import expire, until_async
from tests.runtime.test_contract import run, turn


def deleting(runtime: Runtime) -> Any:
    assert isinstance(runtime, DeletesSessions)
    assert isinstance(runtime, KeepsSessions)
    return cast(Any, runtime)


def shell(container: str) -> dict[str, Any]:
    return {
        "tools": [
            {"type": "shell", "environment": {"type": "container_reference", "container_id": container}}
        ]
    }


async def test_session_goes_with_all_that_is_its_own(runtime: Runtime) -> None:
    kept = deleting(runtime)
    container = (await runtime.containers.create({"name": "mine"})).id
    other = (await runtime.containers.create({"name": "other"})).id
    await run(runtime, "echo x >file", container)
    first = await turn(runtime, "look", **shell(container))
    second = await turn(runtime, "chat", previous_response_id=first.id, **shell(container))
    branch = await turn(runtime, "remember", previous_response_id=first.id, **shell(container))
    foreign = await turn(runtime, "chat", **shell(other))
    made = await kept.keep_session(
        KeptSession(name="n", response_id=second.id, container_id=container, responses=[branch.id])
    )
    done = await kept.delete_session(made.id)
    assert (done.id, list(done.remains), list(done.shared)) == (made.id, [], [])
    for id_ in (container, first.id, second.id, branch.id, made.id):
        assert any(each.endswith(id_) for each in done.removed), id_
    for gone in (kept.kept_session(made.id), runtime.retrieve(branch.id), kept.delete_session(made.id)):
        with pytest.raises(NotFound):
            await gone
    assert [each.id for each in (await runtime.containers.list()).data] == [other]
    assert (await runtime.retrieve(foreign.id)).id == foreign.id


async def test_expired_container_goes_with_its_checkpoint(local_runtime: LocalRuntime) -> None:
    containers = local_runtime.containers
    container = (await containers.create({"name": "mine"})).id
    made = await local_runtime.keep_session(KeptSession(container_id=container))
    await expire(local_runtime._rows, containers, container)
    kept = [each.id for each in await containers.checkpoints.all()]
    assert len(kept) == 1
    done = await local_runtime.delete_session(made.id)
    assert {f"the checkpoint {kept[0]}", f"the container {container}"} <= {*done.removed}
    assert not done.remains
    assert (await containers.checkpoints.all(), await containers.sandboxes()) == ([], [])


async def test_session_with_a_running_turn_stays(local_runtime: LocalRuntime) -> None:
    container = (await local_runtime.containers.create({"name": "mine"})).id
    running = asyncio.create_task(turn(local_runtime, "slow", **shell(container)))
    await until_async(local_runtime._rows.unfinished_responses)
    found = await local_runtime._rows.unfinished_responses()
    made = await local_runtime.keep_session(KeptSession(response_id=found[0].id, container_id=container))
    with pytest.raises(InvalidRequest, match="still running"):
        await local_runtime.delete_session(made.id)
    assert (await local_runtime.kept_session(made.id)).container_id == container
    assert (await local_runtime.containers.retrieve(container)).status == "running"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not (await local_runtime.delete_session(made.id)).remains
