"""Containers of `code_interpreter` over HTTP: expired, restored, paused, with files, refused."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import docker
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import SandboxStartFailed
from agent_kernel.models.base import ModelRequest
from agent_kernel.models.scripted import ScriptedModel
from agent_kernel.protocol.deltas import ModelDelta
from agent_kernel.runtime.containers.containers import CheckpointPolicy, ContainerOptions
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.store.sqlite.store import sqlite_rows
from tests.runtime.conftest import served
from tests.runtime.containers.lifecycle import expire, until
from tests.tools.code_interpreter.test_interpreter import INCLUDE, PYTHON, SCRIPT
from tests.tools.test_toy import opened

pytestmark = pytest.mark.bubblewrap

NEW = "[A new Python session: variables of earlier calls are gone"


class Served:
    """A runtime, a client of it over HTTP, and what its model was asked."""

    def __init__(self, runtime: LocalRuntime, client: AsyncOpenAI, folder: Path) -> None:
        self.runtime = runtime
        self.client = client
        self.folder = folder

    async def turn(self, said: Any, **request: Any) -> Any:
        return await self.client.responses.create(
            **{"input": said, "tools": [PYTHON], "include": INCLUDE, **request}
        )

    async def expire(self, container_id: str) -> None:
        rows = sqlite_rows(self.folder / "store.sqlite")
        try:
            await expire(rows, self.runtime.containers, container_id)
        finally:
            await rows.aclose()


@pytest.fixture
def serve(bubblewrap_backend: Backend, tmp_path: Path) -> Any:
    @asynccontextmanager
    async def serve(**parts: Any) -> AsyncIterator[Served]:
        async with (
            opened(bubblewrap_backend, tmp_path, SCRIPT, **parts) as runtime,
            served(runtime, None) as url,
            AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client,
        ):
            yield Served(runtime, client, tmp_path)

    return serve


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ModelRequest]:
    """Collect the requests to the model."""
    requests: list[ModelRequest] = []
    stream = ScriptedModel.stream

    async def recorded(model: ScriptedModel, request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
        requests.append(request)
        async with aclosing(stream(model, request)) as deltas:
            async for delta in deltas:
                yield delta

    monkeypatch.setattr(ScriptedModel, "stream", recorded)
    return requests


def call_of(response: Any) -> Any:
    assert response.status == "completed", response
    return [item for item in response.output if item.type == "code_interpreter_call"][-1]


@pytest.mark.parametrize("kept", [True, False], ids=["restored", "lost"])
async def test_items_of_an_expired_container_are_replayed(
    serve: Any, asked: list[ModelRequest], kept: bool
) -> None:
    """By the response's id, and as items; the model and the user read which variables are gone."""
    options = ContainerOptions(checkpoints=CheckpointPolicy(keep_expired=kept))
    said = {"role": "user", "content": "see the total"}
    async with serve(container_settings=options) as here:
        for by_id in (True, False):
            first = await here.turn("three calls")
            item = call_of(first)
            await here.expire(item.container_id)
            items = [{"role": "user", "content": "three calls"}, *(each.to_dict() for each in first.output)]
            earlier = {"previous_response_id": first.id} if by_id else {}
            second = await here.turn([said] if by_id else [*items, said], **earlier)
            again = call_of(second)
            assert (again.container_id == item.container_id) is kept
            (output,) = again.outputs
            assert "NameError" in output.logs
            told = str([each for each in asked[-2].input if dict(each).get("role") == "developer"])
            assert "variables of earlier calls are gone: total." in told
            if kept:
                assert output.logs.startswith(f"{NEW}: total.]\n")
            else:
                notices = second.model_extra["agent_kernel"]["notices"]
                assert notices == ["These variables of earlier calls are gone: total."]
            third = await here.turn("three calls", previous_response_id=second.id)
            assert [each.logs for each in call_of(third).outputs] == ["2\n"]


async def test_a_session_survives_a_pause(serve: Any, tmp_path: Path) -> None:
    async with serve(container_settings=ContainerOptions(pause_after=0.05)) as here:
        first = await here.turn("three calls")
        await until(lambda: '"pause"' in (tmp_path / "audit.jsonl").read_text())
        second = await here.turn("go on", previous_response_id=first.id)
        assert [each.logs for each in call_of(second).outputs] == ["42\n"]


async def test_a_secret_brought_later_reaches_the_session(serve: Any) -> None:
    bound = NetworkPolicy.parse(["packages.test"])
    secret = {"domain": "packages.test", "name": "TOKEN", "value": "canary-value-0123"}
    policy = {"type": "allowlist", "allowed_domains": ["packages.test"], "domain_secrets": [secret]}
    later = {"type": "code_interpreter", "container": {"type": "auto", "network_policy": policy}}
    async with serve(container_settings=ContainerOptions(network=bound)) as here:
        first = await here.turn("the token")
        assert [each.logs for each in call_of(first).outputs] == ["None\nNone\n"]
        second = await here.turn("the token", tools=[later], previous_response_id=first.id)
        assert call_of(second).container_id == call_of(first).container_id
        (output,) = call_of(second).outputs
        token, authorities = output.logs.splitlines()
        assert token.startswith("secret_")
        assert authorities.endswith("/bundle.pem")


def python(*file_ids: str) -> dict[str, Any]:
    return {"type": "code_interpreter", "container": {"type": "auto", "file_ids": list(file_ids)}}


def with_files(said: str, *file_ids: str) -> list[Any]:
    parts = [{"type": "input_file", "file_id": each} for each in file_ids]
    return [{"role": "user", "content": [{"type": "input_text", "text": said}, *parts]}]


async def test_files_of_a_request_lie_where_its_code_runs(serve: Any, asked: list[ModelRequest]) -> None:
    """Those of the container and those of the input, also in later turns; what is there is not replaced."""
    async with serve() as here:

        async def upload(name: str) -> str:
            content = (f"{name}.txt", name.encode())
            return str((await here.client.files.create(file=content, purpose="user_data")).id)

        async def turn(said: Any, *file_ids: str, **request: Any) -> tuple[Any, list[str]]:
            response = await here.turn(said, tools=[python(*file_ids)], **request)
            (output,) = call_of(response).outputs
            return response, sorted(output.logs.splitlines())

        a, b, c, d = [await upload(name) for name in "abcd"]
        first, found = await turn(with_files("which files", b), a)
        assert found == sorted([f"{a}-a.txt a", f"{b}-b.txt b"])
        assert f"The attached file b.txt is in the container: /mnt/data/{b}-b.txt" in str(asked[-2].input)
        container_id = call_of(first).container_id
        changed = (f"{a}-a.txt", b"changed")
        await here.client.containers.files.create(container_id, file=changed)
        await here.client.files.delete(a)
        said = with_files("which files", d)
        second, found = await turn(said, a, c, previous_response_id=first.id)
        kept = [f"{a}-a.txt changed", f"{b}-b.txt b", f"{c}-c.txt c", f"{d}-d.txt d"]
        assert (call_of(second).container_id, found) == (container_id, sorted(kept))
        explicit = {
            "type": "code_interpreter",
            "container": (await here.client.containers.create(name="x")).id,
        }
        third = await here.turn(said, tools=[explicit])
        assert [each.logs for each in call_of(third).outputs] == [f"{d}-d.txt d\n"]


async def test_a_file_that_does_not_exist_leaves_nothing(serve: Any) -> None:
    async with serve() as here:
        first = await here.turn("three calls")
        before = [each.id async for each in here.client.containers.list()]
        for request in ({}, {"previous_response_id": first.id}):
            with pytest.raises(NotFoundError, match="No such File object: file-none"):
                await here.turn("three calls", tools=[python("file-none")], **request)
        with pytest.raises(BadRequestError, match="No uploaded file has the id 'file-none'"):
            await here.turn(with_files("which files", "file-none"))
        assert [each.id async for each in here.client.containers.list()] == before


async def test_a_container_of_the_warm_pool_has_a_session(serve: Any) -> None:
    async with serve(container_settings=ContainerOptions(warm=1)) as here:
        await here.runtime.containers.warm_up()
        await here.runtime.containers._lifecycle._pool.filled()
        container = await here.runtime.containers.create({"name": "taken"})
        async with (
            here.runtime.containers.use(container.id) as channel,
            channel.program("python", ["true"]) as program,
        ):
            assert (program.started, program.number) == (False, 1)
        named = {"type": "code_interpreter", "container": container.id}
        response = await here.turn("three calls", tools=[named])
        assert [each.logs for each in call_of(response).outputs] == ["2\n"]


@pytest.fixture
def image_without_python(docker_engine: None) -> Iterator[str]:
    """An image with one file, which is not a program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    name, tag = "agent-kernel/test-no-python", uuid.uuid4().hex[:12]
    with closing(docker.from_env()) as engine:
        engine.api.import_image_from_data(buffer.getvalue(), name, tag)
        yield f"{name}:{tag}"
        engine.images.remove(f"{name}:{tag}")


@pytest.mark.docker
async def test_an_image_without_python_leaves_nothing(image_without_python: str, tmp_path: Path) -> None:
    async with opened(DockerBackend(image_without_python), tmp_path, SCRIPT) as runtime:
        with pytest.raises(SandboxStartFailed, match="cannot be a sandbox: it has no python3"):
            async with aclosing(runtime.respond({"input": "one call", "tools": [PYTHON]})) as events:
                [event async for event in events]
        assert (await runtime.containers.list()).data == []
        rows = sqlite_rows(tmp_path / "store.sqlite")
        assert await rows.containers() == []
        await rows.aclose()
    with closing(docker.from_env()) as engine:
        assert engine.containers.list(all=True, filters={"ancestor": image_without_python}) == []
