"""Checkpoints as images: their layers do not pile up, and each is counted once."""

from __future__ import annotations

import contextlib
import io
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator

import docker
import pytest

from agent_kernel.errors import SandboxError
from agent_kernel.sandboxes.docker import snapshots as docker_snapshots
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.optional import Snapshot, snapshots_of, total_size
from tests.sandboxes.inside import Sandbox, checkpoint, started

pytestmark = pytest.mark.docker


@contextlib.asynccontextmanager
async def chain(backend: DockerBackend, commands: list[str], **labels: str) -> AsyncIterator[list[Snapshot]]:
    """Each command in a sandbox that begins with the checkpoint of the one before, as after an expiry."""
    found: list[Snapshot] = []
    try:
        for command in commands:
            async with started(backend, snapshot=found[-1].id if found else None) as run:
                assert (await run(command)).code == 0
                found.append(await checkpoint(run, **labels))
        yield found
    finally:
        for snapshot in found:
            await backend.remove_snapshot(snapshot.id)


SMALL = """
cd /
programs='usr/bin/python3 usr/bin/python3.11 usr/bin/bash usr/bin/cat usr/bin/ls usr/bin/rm usr/bin/touch'
ctypes=$(ls usr/lib/python3.11/lib-dynload/_ctypes.*)
libraries=$(ldd $(readlink -f $programs) $ctypes | grep -o '/lib[^ ]*' | sort -u)
tar -chf /libraries.tar $libraries
mkdir -p /small/mnt/data /small/usr/lib /small/tmp && chmod 1777 /small/tmp
tar -xf /libraries.tar -C /small 2>/dev/null
mv /small/lib/* /small/usr/lib/ && rmdir /small/lib
[ -d /small/lib64 ] && mv /small/lib64 /small/usr/lib64
cp -a --parents $programs usr/lib/python3.11 /small/
ln -s usr/bin /small/bin; ln -s usr/lib /small/lib; ln -s usr/lib64 /small/lib64
tar -cf /small.tar -C /small .
"""
"""What a sandbox stands on, and no more: an image of it is made into one layer in no time."""


@pytest.fixture(scope="module")
def small(docker_engine: None) -> Iterator[str]:
    """A small image, with a variable of its own."""
    engine = docker.from_env()
    container = engine.containers.create(DEFAULT_IMAGE, ["sh", "-c", SMALL], network_mode="none")
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
        pieces, _ = container.get_archive("/small.tar")
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as outer:
            inner = outer.extractfile("small.tar")
            assert inner is not None
            tag = uuid.uuid4().hex[:12]
            changes = ['ENV KEPT="a $b \\\\ c"'.replace("$", "\\$")]
            engine.api.import_image_from_data(inner.read(), "agent-kernel/test-small", tag, changes=changes)
    finally:
        container.remove(force=True, v=True)
    yield f"agent-kernel/test-small:{tag}"
    engine.images.remove(f"agent-kernel/test-small:{tag}")
    engine.close()


def layers(engine: docker.DockerClient, image: str) -> int:
    return len(engine.images.get(image).attrs["RootFS"]["Layers"])


async def test_layers_do_not_pile_up_over_many_cycles(
    small: str, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_snapshots, "MOST_LAYERS", 3)
    backend, cycles, name = DockerBackend(small), 5, 'a $HOME \\ "name"'
    commands = [f"X=$((X + 1)); echo {n} >>log; touch f{n}; rm -f f{n - 1}" for n in range(cycles)]
    async with chain(backend, commands, name=name) as found:
        depths = [layers(engine, docker_snapshots.image_of(each.id)) for each in found]
        assert depths == [2, 3, 1, 2, 3]
        assert found[2].size > 10 * found[1].size  # it has all of the image
        async with started(backend, snapshot=found[-1].id) as run:
            done = await run('echo "$X $KEPT"; cat log; ls; ls -ld /tmp')
            lines = done.stdout.decode().splitlines()
            assert lines[:-1] == [f"{cycles} a $b \\ c", *map(str, range(cycles)), f"f{cycles - 1}", "log"]
            assert lines[-1].startswith("drwxrwxrwt")
        assert {each.labels["name"] for each in found} == {name}
        listed = {each.id: each for each in await backend.snapshots({"name": name})}
        assert [listed[each.id] for each in found] == found
    await backend.aclose()


async def test_size_covers_the_chain_and_counts_shared_layers_once(
    docker_backend: DockerBackend,
) -> None:
    commands = ["head -c 3000000 /dev/urandom >a", "head -c 2000000 /dev/urandom >b"]
    async with chain(docker_backend, commands) as (first, second):
        assert 3e6 <= first.size < 4e6
        assert 5e6 <= second.size < 7e6
        assert total_size([first, second]) == total_size([second]) == second.size
        async with started(docker_backend, snapshot=first.id) as run:
            fork = await grown(run)
        try:
            assert total_size([first, second, fork]) == second.size + fork.size - first.size
        finally:
            await docker_backend.remove_snapshot(fork.id)


async def grown(run: Sandbox) -> Snapshot:
    await run("head -c 1000000 /dev/urandom >c")
    return await checkpoint(run)


@pytest.fixture
async def run(docker_backend: DockerBackend) -> AsyncIterator[Sandbox]:
    async with started(docker_backend) as sandbox:
        yield sandbox


async def test_checkpoint_beyond_free_space_is_refused(run: Sandbox) -> None:
    """docker commit writes the holes of sparse files, so an explicit checkpoint could fill the disk."""
    kept = len(await snapshots_of(run.backend).snapshots({"of": run.ref.id}))
    await run("truncate -s 12T sparse; truncate -s 70M small; truncate -s 11T '/root/with space'")
    with pytest.raises(SandboxError, match=r"would take \d{14} bytes, and the engine's disk has \d+") as e:
        await checkpoint(run, of=run.ref.id)
    places = [str(e.value.hint).index(f"/{name} (") for name in ("data/sparse", "with space", "small")]
    assert places == sorted(places)
    assert len(await snapshots_of(run.backend).snapshots({"of": run.ref.id})) == kept
    await run("rm sparse '/root/with space'")
    await snapshots_of(run.backend).remove_snapshot((await checkpoint(run)).id)


async def test_checkpoint_of_too_deep_tree_is_refused(run: Sandbox) -> None:
    """docker commit leaves out what is below a path of more than 4,096 bytes, without an error."""
    deep = "import os\nfor n in range(600): os.mkdir('folder'); os.chdir('folder')"
    assert (await run(f'python3 -c "{deep}"')).code == 0
    with pytest.raises(SandboxError, match="nested too deeply"):
        await checkpoint(run)
    assert (await run("rm -r folder")).code == 0
    await snapshots_of(run.backend).remove_snapshot((await checkpoint(run)).id)


async def test_removed_while_it_is_in_use(run: Sandbox) -> None:
    """The sandbox that began with it lives on; with the last one its image goes."""
    backend, (api, snapshot) = run.backend, (docker.APIClient(), await checkpoint(run, of=run.ref.id))
    removed = f"{docker_snapshots.REMOVED}:{snapshot.id}"
    async with started(backend, snapshot=snapshot.id) as copy:
        await snapshots_of(backend).remove_snapshot(snapshot.id)
        assert await snapshots_of(backend).snapshots({"of": run.ref.id}) == []
        await snapshots_of(backend).remove_snapshot(snapshot.id)
        assert (await copy("echo on")).stdout == b"on\n"
        assert api.images(name=removed)
    assert not api.images(name=removed)
    assert not api.images(name=docker_snapshots.image_of(snapshot.id))
    api.close()
