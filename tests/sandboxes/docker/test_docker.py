"""The Docker backend on a real engine: found again, ended, and what is left when things go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from agent_kernel.errors import (
    EngineUnavailable,
    ImageMissing,
    InvalidRequest,
    IsolationUnavailable,
    SandboxError,
    SandboxGone,
    SandboxStartFailed,
    SandboxUnreachable,
)
from agent_kernel.sandboxes.base import MANAGED_LABEL, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.docker import engine as docker_engine
from agent_kernel.sandboxes.docker import removal as docker_removal
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from agent_kernel.sandboxes.docker.refusals import check_isolation
from tests.conftest import CHECKOUT, Missing
from tests.sandboxes.docker.sandbox import RUN, new_spec, pause, run

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]


async def test_labels_find_it_again(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    expected = SandboxRef(sandbox.id, "docker", "running", {"purpose": "test", MANAGED_LABEL: "1"})
    assert sandbox == expected
    assert await docker_backend.get(sandbox.id) == expected
    assert expected in await docker_backend.list()
    assert expected in await docker_backend.list({"purpose": "test"})
    assert sandbox.id not in {ref.id for ref in await docker_backend.list({"purpose": "another"})}


async def test_delete_removes_the_container(
    docker_backend: DockerBackend, engine: docker.DockerClient
) -> None:
    ref = await docker_backend.create(new_spec())
    assert not engine.containers.get(f"agent-kernel-{ref.id}").attrs["Mounts"]
    await asyncio.gather(*(docker_backend.delete(ref) for _ in range(3)))
    with pytest.raises(SandboxGone):
        await docker_backend.get(ref.id)
    with pytest.raises(SandboxGone):
        await docker_backend.stream(ref)


@pytest.fixture
def with_volume(engine: docker.DockerClient) -> Iterator[str]:
    """An image that makes the engine add an anonymous volume."""
    container = engine.containers.create(DEFAULT_IMAGE, "true", network_mode="none")
    name, tag = "agent-kernel/test-volume", uuid.uuid4().hex[:12]
    container.commit(name, tag, changes='VOLUME ["/cache"]')
    container.remove()
    yield f"{name}:{tag}"
    engine.images.remove(f"{name}:{tag}")


async def test_nothing_is_left_of_what_was_deleted(with_volume: str, engine: docker.DockerClient) -> None:
    backend = DockerBackend(with_volume)
    ref = await backend.create(new_spec())
    found = engine.api.inspect_container(f"agent-kernel-{ref.id}")
    traces = docker_removal.traces(engine.api, found)
    before = " ".join(docker_removal.remains(engine.api, replace(traces, local=False)))
    assert before == f"container {traces.container[:12]} volume {traces.volumes[0]}"
    if os.geteuid() == 0 and traces.local:
        assert found["State"]["Pid"] in docker_removal.processes(traces.container)
        assert f"layer {traces.folders[0]}" in docker_removal.layers(traces)
    await backend.delete(ref)
    assert docker_removal.remains(engine.api, traces) == []
    await backend.aclose()


async def test_an_engine_that_does_not_do_as_it_says_is_found_out(
    docker_backend: DockerBackend, sandbox: SandboxRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(docker_engine, "remove", lambda api, name: None)
        patched.setattr(docker_removal, "END_SECONDS", 0.1)
        with pytest.raises(SandboxError, match="these are left: container ") as caught:
            await docker_backend.delete(sandbox)
    assert caught.value.hint


HOST = """
import asyncio, sys
from agent_kernel.sandboxes.base import SandboxRef
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.docker.backend import DockerBackend

async def main():
    channel = await Channel.open(await DockerBackend().stream(SandboxRef(sys.argv[1], "docker", "running")))
    async for event in channel.run("for i in $(seq 100); do echo line $i; sleep 0.01; done; exit 3"):
        print(event.data.hex(), flush=True)

asyncio.run(main())
"""


async def test_next_host_loses_and_doubles_no_output(
    docker_backend: DockerBackend, sandbox: SandboxRef
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, sandbox.id, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert host.stdout is not None
    seen = b""
    while b"line 20\n" not in seen:
        seen += bytes.fromhex((await host.stdout.readline()).decode())
    host.kill()
    seen += b"".join([bytes.fromhex(line.decode()) async for line in host.stdout if line.endswith(b"\n")])
    await host.wait()
    channel = await Channel.open(await docker_backend.stream(sandbox))
    rest = [event async for event in channel.watch(1, offset=len(seen))]
    seen += b"".join(event.data for event in rest if isinstance(event, Output))
    assert seen == b"".join(b"line %d\n" % number for number in range(1, 101))
    assert rest[-1] == Exited(3)
    await channel.aclose()


async def test_the_lease_removes_all(docker_backend: DockerBackend, engine: docker.DockerClient) -> None:
    spec = SandboxSpec(f"{RUN}-{uuid.uuid4().hex[:12]}", lease=0.5)
    ref = await docker_backend.create(spec)
    container = engine.containers.get(f"agent-kernel-{ref.id}")
    with contextlib.suppress(docker.errors.NotFound):  # it was faster
        await asyncio.to_thread(container.wait, condition="removed", timeout=30)
    with pytest.raises(SandboxGone):
        await docker_backend.get(ref.id)


async def test_killed_from_outside_is_gone(
    docker_backend: DockerBackend, sandbox: SandboxRef, engine: docker.DockerClient
) -> None:
    channel = await Channel.open(await docker_backend.stream(sandbox))
    await asyncio.to_thread(engine.containers.get(f"agent-kernel-{sandbox.id}").kill)
    await channel.closed.wait()
    assert isinstance(channel.failure, SandboxGone)
    await channel.aclose()


async def test_paused_is_unreachable_not_gone(
    docker_backend: DockerBackend, sandbox: SandboxRef, engine: docker.DockerClient
) -> None:
    container = engine.containers.get(f"agent-kernel-{sandbox.id}")
    await pause(docker_backend, sandbox.id)
    try:
        assert (await docker_backend.get(sandbox.id)).status == "unreachable"
        with pytest.raises(SandboxUnreachable, match="paused"):
            await docker_backend.stream(sandbox)
    finally:
        await asyncio.to_thread(container.unpause)
    assert await run(docker_backend, sandbox, "echo back") == ("back\n", 0)


async def test_a_stream_that_is_closed_does_not_end_another(
    docker_backend: DockerBackend, sandbox: SandboxRef
) -> None:
    first = await Channel.open(await docker_backend.stream(sandbox))
    second = await Channel.open(await docker_backend.stream(sandbox))
    await first.aclose()
    assert await run(docker_backend, sandbox, "echo on") == ("on\n", 0)
    assert second.failure is None
    await second.aclose()


async def test_an_id_in_use_keeps_its_owner(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    with pytest.raises(SandboxStartFailed, match="already in use"):
        await docker_backend.create(SandboxSpec(sandbox.id))
    assert await run(docker_backend, sandbox, "echo alive") == ("alive\n", 0)


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "-x", "a" * 200, "a b"])
async def test_an_id_that_names_no_container(docker_backend: DockerBackend, bad: str) -> None:
    with pytest.raises(InvalidRequest):
        await docker_backend.create(SandboxSpec(bad))
    with pytest.raises(SandboxGone):
        await docker_backend.get(bad)


async def test_a_container_that_is_not_ours_is_left_alone(
    docker_backend: DockerBackend, engine: docker.DockerClient
) -> None:
    spec = new_spec()
    name = f"agent-kernel-{spec.id}"
    other = engine.containers.create(docker_backend.image, "true", name=name, network_mode="none")
    try:
        with pytest.raises(SandboxGone):
            await docker_backend.get(spec.id)
        await docker_backend.delete(SandboxRef(spec.id, "docker", "running"))
        assert engine.containers.get(name).id == other.id
    finally:
        other.remove()


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
async def test_create_cancelled_in_the_middle_leaves_nothing(
    docker_backend: DockerBackend, engine: docker.DockerClient, after: float
) -> None:
    spec = new_spec()
    task = asyncio.create_task(docker_backend.create(spec))
    done, _ = await asyncio.wait([task], timeout=after)
    task.cancel()
    if done:
        await docker_backend.delete(task.result())
    else:
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(docker.errors.NotFound):
        engine.containers.get(f"agent-kernel-{spec.id}")


async def test_missing_image(docker_engine: None) -> None:
    backend = DockerBackend("agent-kernel/no-such-image:1")
    try:
        with pytest.raises(ImageMissing, match="agent-kernel/no-such-image:1"):
            await backend.create(new_spec())
        probe = await backend.probe()
        assert not probe.ok
        assert "docker pull" in (probe.hint or "")
    finally:
        await backend.aclose()


async def test_missing_runtime(docker_engine: None) -> None:
    backend = DockerBackend(runtime="no-such-runtime")
    try:
        with pytest.raises(IsolationUnavailable, match="no-such-runtime"):
            await backend.create(new_spec())
        assert not (await backend.probe()).ok
    finally:
        await backend.aclose()


async def test_kata_is_refused_with_its_mend_where_it_is_missing(
    docker_engine: None, engine: docker.DockerClient, missing: Missing
) -> None:
    if "kata" in engine.info()["Runtimes"]:
        missing("This engine has kata, so it cannot refuse it. Run this test on an engine without kata.")
    backend = DockerBackend(runtime="kata")
    spec = new_spec()
    try:
        with pytest.raises(IsolationUnavailable, match="no isolation runtime 'kata'") as caught:
            await backend.create(spec)
        assert "daemon.json" in (caught.value.hint or "")
        assert "AGENT_KERNEL_DOCKER_RUNTIME" in (caught.value.hint or "")
        assert spec.id not in [ref.id for ref in await backend.list()]
        probe = await backend.probe()
        assert (probe.ok, probe.hint) == (False, caught.value.hint)
    finally:
        await backend.aclose()


def test_kata_is_taken_where_the_engine_has_it() -> None:
    info = {"Runtimes": {"runc": {}, "kata": {}}, "SecurityOptions": []}
    check_isolation(info, "kata")  # a kernel of its own: the engine's seccomp filter is not asked for
    with pytest.raises(IsolationUnavailable, match="seccomp"):
        check_isolation(info, None)


async def test_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    backend = DockerBackend()
    with pytest.raises(EngineUnavailable) as caught:
        await backend.create(new_spec())
    assert "DOCKER_HOST" in (caught.value.hint or "")
    assert not (await backend.probe()).ok
    await backend.aclose()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def over_tcp(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A loopback port behind which the engine answers."""
    path = docker.from_env().api.get_adapter("http+docker://localhost").socket_path  # type: ignore[attr-defined]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(path)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(pump(reader, engine_writer), pump(engine_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def test_an_engine_behind_tcp(docker_engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with over_tcp() as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        backend = DockerBackend()
        ref = await backend.create(new_spec())
        try:
            size, code = await run(backend, ref, "head -c 3000000 /dev/zero >zeros; wc -c <zeros; cat zeros")
        finally:
            await backend.delete(ref)
            await backend.aclose()
    assert (len(size), code) == (len("3000000\n") + 3_000_000, 0)


async def test_gvisor_is_the_kernel(docker_runsc_backend: DockerBackend) -> None:
    owner = os.stat(os.devnull).st_uid
    ref = await docker_runsc_backend.create(new_spec())
    try:
        said, code = await run(docker_runsc_backend, ref, "dmesg")
        assert "gVisor" in said
        assert code == 0
    finally:
        await docker_runsc_backend.delete(ref)
    assert os.stat(os.devnull).st_uid == owner  # where it is given as an input, gVisor takes it over


async def test_gvisor_out_of_memory_ends_the_sandbox_in_words(docker_runsc_backend: DockerBackend) -> None:
    ref = await docker_runsc_backend.create(replace(new_spec(), memory=256 << 20))
    try:
        with pytest.raises(SandboxGone, match="ran out of memory"):
            await run(docker_runsc_backend, ref, "python3 -c 'x = bytearray(1 << 30)'")
    finally:
        await docker_runsc_backend.delete(ref)


def derived_image(engine: docker.DockerClient, base: str, remove: str) -> str:
    """An image like `base` without one of its programs."""
    container = engine.containers.run(
        base,
        ["python3", "-c", f"import os; os.unlink(os.path.realpath({remove!r}))"],
        network_mode="none",
        detach=True,
    )
    container.wait()
    image = container.commit("agent-kernel/test-unfit", uuid.uuid4().hex[:12])
    container.remove()
    return str(image.tags[0])


@pytest.mark.parametrize(("program", "word"), [("/usr/bin/python3", "no python3"), ("/bin/bash", "no bash")])
async def test_an_image_without_what_is_needed(engine: docker.DockerClient, program: str, word: str) -> None:
    image = derived_image(engine, DEFAULT_IMAGE, program)
    backend = DockerBackend(image)
    try:
        with pytest.raises(SandboxStartFailed, match=word) as caught:
            await backend.create(new_spec())
        assert caught.value.hint
    finally:
        await backend.aclose()
        engine.images.remove(image)


async def test_first_plot_is_quick_and_quiet(docker_backend: DockerBackend, sandbox: SandboxRef) -> None:
    script = "import matplotlib.pyplot as p; p.plot([1]); p.savefig('plot.png')"
    said, code = await run(
        docker_backend, sandbox, f'python3 -W error -c "{script}" 2>&1 && file -b plot.png'
    )
    assert code == 0
    assert said.startswith("PNG image data")
