"""Pages of a container's files cost what they show, and go on as the workspace changes."""

from __future__ import annotations

from collections import Counter

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.base import Order
from agent_kernel.runtime.containers import listings
from agent_kernel.runtime.containers.files import LocalContainerFiles
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.channel import Channel, FileStat, Output
from tests.conftest import BUBBLEWRAP

pytestmark = pytest.mark.parametrize("backend", [BUBBLEWRAP], indirect=True)


async def run(runtime: LocalRuntime, container: str, command: str) -> None:
    async with runtime.containers.use(container) as channel:
        async for event in channel.run(f"cd /mnt/data; {command}"):
            assert not isinstance(event, Output), event


class Entries:
    """The files that the sandbox describes, by call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.described = Counter[str]()
        listing, stating = Channel.list, Channel.stat

        async def counted(channel: Channel, path: str) -> list[FileStat]:
            found = await listing(channel, path)
            self.described["list"] += len(found)
            return found

        async def stated(channel: Channel, path: str) -> FileStat:
            self.described["stat"] += 1
            return await stating(channel, path)

        monkeypatch.setattr(Channel, "list", counted)
        monkeypatch.setattr(Channel, "stat", stated)


@pytest.mark.parametrize(
    ("count", "limit", "order"),
    [
        pytest.param(10_000, 100, "asc", marks=pytest.mark.slow),
        (1_000, 10, "desc"),
        (250, 100, "asc"),
        (3, 5, "desc"),
    ],
)
async def test_paging_lists_the_workspace_once(
    local_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch, count: int, limit: int, order: Order
) -> None:
    container = (await local_runtime.containers.create({"name": "n"})).id
    await run(local_runtime, container, f"mkdir d; cd d; seq {count} | split -a 4 -l 1")
    entries, seen, after = Entries(monkeypatch), list[str](), None
    files = local_runtime.containers.files
    while True:
        page = await files.list(container, after=after, limit=limit, order=order)
        seen += [each.path for each in page.data]
        if not page.has_more:
            break
        after = page.data[-1].id
    assert len(seen) == len({*seen}) == count
    assert entries.described["list"] == count
    assert entries.described["stat"] == max(0, count - limit)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_changes_between_pages_repeat_and_skip_nothing(
    local_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    """Of files 0 to 8, the cursor changes, one that was not shown changes, and others go."""
    container = (await local_runtime.containers.create({"name": "n"})).id
    await run(
        local_runtime, container, "for n in $(seq 0 8); do echo $n >$n; touch -d @$((n + 1000)) $n; done"
    )
    files = local_runtime.containers.files
    names = [str(n) for n in (range(9) if order == "asc" else range(8, -1, -1))]
    for kept in (listings.KEPT, -1.0):  # with the first listing, and with a new one for each page
        monkeypatch.setattr(listings, "KEPT", kept)
        page = await files.list(container, limit=3, order=order)
        assert [each.path.rpartition("/")[2] for each in page.data] == names[:3]
        await run(local_runtime, container, f"echo changed >{names[2]}; rm {names[3]} {names[4]}")
        rest = await files.list(container, after=page.data[-1].id, limit=3, order=order)
        assert [each.path.rpartition("/")[2] for each in rest.data] == names[5:8]
        await run(
            local_runtime,
            container,
            f"for n in {' '.join(names[2:5])}; do echo $n >$n; touch -d @$((n + 1000)) $n; done",
        )


async def test_new_files_follow_the_last_page(local_runtime: LocalRuntime) -> None:
    container = (await local_runtime.containers.create({"name": "n"})).id
    files = local_runtime.containers.files
    await run(local_runtime, container, "for n in 1 2 3 4; do echo $n >$n; done")
    page = await files.list(container, limit=2, order="asc")
    page = await files.list(container, after=page.data[-1].id, limit=2, order="asc")
    await run(local_runtime, container, "echo 5 >5")
    assert not page.has_more
    page = await files.list(container, after=page.data[-1].id, order="asc")
    assert [each.path for each in page.data] == ["/mnt/data/5"]


async def test_kept_listings_are_bounded(
    local_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MOST", 5)
    files = local_runtime.containers.files
    assert isinstance(files, LocalContainerFiles)
    made = [(await local_runtime.containers.create({"name": "n"})).id for _ in range(2)]
    for container in made:
        await run(local_runtime, container, "touch 1 2 3")
        await files.list(container, limit=1)
    assert list(files._listings._kept) == made[1:]
    with pytest.raises(InvalidRequest):
        await files.list(made[1], after="cfile_none")
