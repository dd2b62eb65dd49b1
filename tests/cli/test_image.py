"""`agent-kernel image build` with a Dockerfile of one's own, on a real engine."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import docker
import pytest

from agent_kernel.sandboxes.base import SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE
from tests.cli.command import call, start

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

LABEL = "agent_kernel.test.image"
"""The label of the images of a test; its value is the name under which the image is built."""

Environment = dict[str, str]


def images() -> set[str]:
    engine = docker.from_env()
    try:
        return {tag for image in engine.images.list() for tag in image.tags}
    finally:
        engine.close()


@pytest.fixture
def name() -> Iterator[str]:
    """A name for an image that is removed after the test; no other is left behind."""
    name = f"agent-kernel-test:{secrets.token_hex(6)}"
    yield name
    engine = docker.from_env()
    if name in images():
        engine.images.remove(name)
    steps = engine.images.list(filters={"label": f"{LABEL}={name}"})  # kept after a failed build
    assert not [tag for step in steps for tag in step.tags]
    for step in steps:
        engine.images.remove(step.id or "")
    engine.close()


def written(folder: Path, name: str, *lines: str) -> str:
    """A Dockerfile on top of the toolbox image, as if that had just been built: nothing is downloaded."""
    path = folder / "Sandboxfile"
    fresh = "RUN mkdir -p /usr/lib/agent-kernel && touch -a /usr/lib/agent-kernel/statx.so"
    path.write_text("\n".join([f"FROM {DEFAULT_IMAGE}", f"LABEL {LABEL}={name}", fresh, *lines]) + "\n")
    return str(path)


async def outputs(backend: DockerBackend, command: str) -> AsyncIterator[Output | Exited]:
    ref = await backend.create(SandboxSpec(f"test-{secrets.token_hex(6)}"))
    try:
        channel = await Channel.open(await backend.stream(ref))
        async with aclosing(channel.run(command)) as events:
            async for event in events:
                assert isinstance(event, Output | Exited)
                yield event
        await channel.aclose()
    finally:
        await backend.delete(ref)


async def test_a_dockerfile_of_ones_own_with_the_toolbox_on_top(
    name: str, own_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "data.txt").write_text("from the context\n")
    entry = 'ENTRYPOINT ["false"]'
    path = written(tmp_path, name, "COPY data.txt /srv/", "ENV MINE=1", "USER nobody", entry)
    done = start("image", "build", "--from", path, "--name", name, environment=own_environment)
    assert done.returncode == 0, done.stderr
    assert f"Use it: AGENT_KERNEL_IMAGE={name}" in done.stdout
    assert "The toolbox is there already." in done.stderr
    backend = DockerBackend(name)
    told = [
        event async for event in outputs(backend, "cat /srv/data.txt; echo $MINE; python3 -c 'import pandas'")
    ]
    await backend.aclose()
    assert b"".join(event.data for event in told if isinstance(event, Output)) == b"from the context\n1\n"
    assert told[-1] == Exited(0)


@pytest.mark.parametrize(
    ("lines", "flags", "words"),
    [
        (["RUN exit 3"], [], "could not build the image"),
        (["RUN rm /usr/bin/python3*"], [], "cannot be a sandbox: it has no python3"),
        (["RUN rm /usr/bin/python3*"], ["--no-toolbox"], "cannot be a sandbox: it has no python3"),
        (["RUN rm /usr/bin/apt-get"], [], "the image has no apt"),
        (["NONSENSE"], [], "could not build the image"),
    ],
)
def test_what_cannot_be_built_is_said_and_leaves_no_name(
    lines: list[str], flags: list[str], words: str, name: str, own_environment: Environment, tmp_path: Path
) -> None:
    path = written(tmp_path, name, *lines)
    done = call("image", "build", "--from", path, "--name", name, *flags, environment=own_environment)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert name not in images()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--from", "/nothing/Dockerfile", "--name", "x:1"], "no Dockerfile /nothing/Dockerfile"),
        (["--from", "Dockerfile"], "needs a name"),
        (["--no-toolbox"], "needs a Dockerfile"),
        (["--packages", "a;b"], "cannot be a Debian package"),
        (["--sandbox", "bubblewrap", "--packages", "jq"], "no image"),
    ],
)
def test_what_cannot_be_asked_for(words: list[str], why: str, own_environment: Environment) -> None:
    done = call("image", "build", *words, environment=own_environment)
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
