"""Two users of a JupyterHub, whose kernels use one server: for it, neither has anything of the other's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.clients.node import NodeMissing
from tests.conftest import Missing
from tests.environments import EnvironmentMissing
from tests.server.jupyterhub.hub import Hub, User, running_hub

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(300)]


@pytest.fixture
def hub(
    own_environment: dict[str, str], bubblewrap_backend: object, missing: Missing, tmp_path: Path
) -> Iterator[Hub]:
    """A hub whose server runs cells as commands."""
    settings = {"AGENT_KERNEL_SANDBOX": "bubblewrap", "AGENT_KERNEL_MODEL": "agent_kernel/shell"}
    environment = {**own_environment, **settings, "OPENAI_API_KEY": "sk-of-the-operator"}
    installing = [sys.executable, "-m", "agent_kernel", "install", "--prefix", str(tmp_path)]
    subprocess.run(installing, env=environment, check=True, capture_output=True)
    folder = tmp_path / "hub"
    folder.mkdir()
    try:
        with running_hub(folder, environment) as hub:
            yield hub
    except (EnvironmentMissing, NodeMissing) as why:
        missing(str(why))


@pytest.fixture
def users(hub: Hub) -> Iterator[list[User]]:
    """Two users who have logged in."""
    with closing(User("alice", hub)) as alice, closing(User("bob", hub)) as bob:
        yield [alice, bob]


def ids(user: User, path: str) -> set[str]:
    """Return the ids of a list."""
    return {each["id"] for each in user.ask("GET", path).raise_for_status().json()["data"]}


def everything(user: User) -> dict[str, set[str]]:
    """Return the paths of all that a user has, by the lists that show it."""
    lists = ("/containers", "/files", "/agent_kernel/sessions")
    return {path: {f"{path}/{each}" for each in ids(user, path)} for path in lists}


def live(user: User) -> str:
    """Run a cell in the user's notebook, upload a file and keep a session; return the response's path."""
    user.start()
    assert f"{user.name} was here" in user.cell(f"echo {user.name} was here | tee note")
    file = {"file": ("a.txt", user.name.encode())}
    user.ask("POST", "/files", files=file, data={"purpose": "user_data"}).raise_for_status()
    made = user.ask("POST", "/responses", json={"input": f"echo {user.name}"}).raise_for_status().json()
    kept = {"name": f"of {user.name}", "response_id": made["id"]}
    user.ask("POST", "/agent_kernel/sessions", json=kept).raise_for_status()
    return f"/responses/{made['id']}"


def test_neither_user_sees_what_is_the_others(users: list[User]) -> None:
    with ThreadPoolExecutor() as threads:
        responses = list(threads.map(live, users))
    owned = [everything(user) for user in users]
    assert all(each for user in owned for each in user.values())
    for user, response, theirs, other in zip(users, responses[::-1], owned[::-1], users[::-1], strict=True):
        mine = everything(user)
        assert not [path for path in mine if mine[path] & theirs[path]]
        for path in [response, *(each for paths in theirs.values() for each in paths)]:
            assert user.ask("GET", path).status_code == 404
            assert user.ask("DELETE", path).status_code == 404
            assert other.ask("GET", path).status_code == 200
        assert user.http.get(f"/user/{other.name}/api/kernels").status_code in (403, 404)
        given = {name: value for name, value in user.environment.items() if "AGENT_KERNEL" in name}
        assert set(given) == {"AGENT_KERNEL_RUNTIME_URL", "AGENT_KERNEL_API_KEY"}
        assert not [name for name in user.environment if name.startswith("OPENAI")]
    alice, bob = users
    keys = [user.environment["AGENT_KERNEL_API_KEY"] for user in users]
    assert keys[0] != keys[1]
    assert not [key for key in keys for line in alice.hub.log if key in line]
    alice.stop()
    alice.start()
    assert everything(alice) == owned[0], "a new key is the same user's"
    headers = {"Authorization": f"Bearer {keys[0]}"}
    there = alice.environment["AGENT_KERNEL_RUNTIME_URL"]
    assert alice.http.get(f"{there}/files", headers=headers).status_code == 401, "the last key"
    assert everything(bob) == owned[1]
    for user in users:
        for path in everything(user)["/containers"]:
            user.ask("DELETE", path).raise_for_status()
