"""Checkpoints of containers that belong to kept sessions: they have a size and an age of their own."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.keys import KeyLimits
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.settings import CheckpointPolicy
from agent_kernel.store.rows import Rows
from tests.runtime.containers.lifecycle import Make, expire, run
from tests.store.rows_made import session

pytestmark = pytest.mark.bubblewrap

NONE_OF_OTHERS = CheckpointPolicy(total_size=0, max_age=0)


async def test_checkpoint_of_a_session_outlives_others(make: Make, store: Rows) -> None:
    containers = make(checkpoints=NONE_OF_OTHERS)
    kept, other = [(await containers.create({})).id for _ in range(2)]
    await store.add_session(session("a", container_id=kept), 1)
    for each in (kept, other):
        await run(containers, each, "echo mine >file; X=1")
        await expire(store, containers, each)
    await containers.checkpoints.prune()
    assert await run(containers, kept, "cat file; echo $X") == "mine\n1\n"
    with pytest.raises(InvalidRequest, match="expired"):
        await run(containers, other, "true")


@pytest.mark.parametrize("limit", ["size", "age", "key"])
async def test_checkpoint_of_a_session_is_bounded_too(make: Make, store: Rows, limit: str) -> None:
    containers = make(checkpoints=CheckpointPolicy())
    kept = (await containers.create({})).id
    await store.add_session(session("a", container_id=kept), 1)
    await run(containers, kept, "head -c 100000 /dev/urandom >file")
    await expire(store, containers, kept)
    tight: dict[str, dict[str, Any]] = {"size": {"kept_size": 0}, "age": {"kept_age": -1.0}, "key": {}}
    containers.checkpoints._policy = CheckpointPolicy(**tight[limit])
    if limit == "key":
        containers.checkpoints.allowances[""] = Quota(KeyLimits(stored_bytes=10))
    await containers.checkpoints.prune()
    assert await containers.checkpoints.all() == []
    with pytest.raises(InvalidRequest, match="expired"):
        await run(containers, kept, "true")
