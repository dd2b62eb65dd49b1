"""`agent-kernel keys` beside a running `agent-kernel serve`, both called as a person calls them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from agent_kernel.cli import containers
from agent_kernel.cli.containers import Entry
from tests import forked
from tests.cli.command import Done, call, start


def keys(environment: dict[str, str], *words: str) -> Done:
    return call("keys", *words, environment=environment)


def done(environment: dict[str, str], *words: str) -> str:
    result = keys(environment, *words)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def url(own_environment: dict[str, str]) -> Iterator[str]:
    server, url = forked.serve("--requests-per-minute", "50", environment=own_environment, stderr=2)
    yield url
    server.terminate()
    server.wait()


def models(url: str, key: str | None) -> httpx2.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx2.get(url + "/models", headers=headers, timeout=60)


@pytest.mark.bubblewrap
def test_made_used_listed_and_revoked(own_environment: dict[str, str], url: str) -> None:
    assert models(url, None).status_code == 200
    assert done(own_environment, "list") == "No keys."
    limits = ("--turns", "2", "--requests-per-minute", "7")
    created = start("keys", "create", "alice", *limits, environment=own_environment)
    assert created.returncode == 0, created.stderr
    key = created.stdout.strip()
    assert models(url, None).status_code == 401, "from the first key on there is no way in without one"
    assert models(url, key).headers["x-ratelimit-limit-requests"] == "7"
    other = done(own_environment, "create", "bob")
    assert models(url, other).headers["x-ratelimit-limit-requests"] == "50"
    (alice, bob) = json.loads(done(own_environment, "list", "--json"))
    assert (alice["name"], alice["turns"], alice["containers"], alice["revoked_at"]) == (
        "alice",
        2,
        None,
        None,
    )
    assert bob["name"] == "bob"
    shown = done(own_environment, "list") + json.dumps([alice, bob])
    assert alice["id"] in key
    assert key.split("-", 2)[2] not in shown
    assert done(own_environment, "revoke", "alice") == "Revoked the key of alice."
    assert models(url, key).status_code == 401
    assert models(url, other).status_code == 200


def test_what_cannot_be_is_explained(own_environment: dict[str, str]) -> None:
    done(own_environment, "create", "alice")
    for words, said in (
        (("create", "alice"), "keys revoke alice"),
        (("create", "two words"), "name"),
        (("revoke", "nobody"), "keys list"),
        (("create", "bob", "--turns", "-1"), "--turns"),
        (("create", "bob", "--turns", "many"), "whole number"),
        ((), "ACTION"),
    ):
        result = keys(own_environment, *words)
        assert (words, result.returncode) == (words, 2)
        assert said in result.stderr
        assert "Traceback" not in result.stderr


def test_the_list_of_containers_says_whose_they_are() -> None:
    own, hers = (
        Entry("cntr_1", "n", "docker", "running", 3),
        Entry("cntr_2", "n", "docker", "running", 3, "alice"),
    )
    assert "KEY" not in containers.table_of([own])
    shown = containers.table_of([own, hers]).splitlines()
    assert shown[0].endswith("KEY")
    assert shown[2].endswith("alice")
