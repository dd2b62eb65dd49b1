"""`agent-kernel doctor` asks the model's server, and fails if turns would."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.cli.doctor import _network, _packages
from agent_kernel.config import load
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.cli.command import call
from tests.models.model_server import llama_cpp, models, serving

KEY = "sk-very-secret-1234"


def doctor(environment: dict[str, str], *words: str) -> tuple[int, str]:
    done = call("doctor", *words, environment=environment)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def findings(environment: dict[str, str]) -> tuple[int, dict[str, dict[str, Any]]]:
    code, text = doctor(environment, "--json")
    return code, {finding["name"]: finding for finding in json.loads(text)["findings"]}


@pytest.fixture
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    return {
        **own_environment,
        "AGENT_KERNEL_SANDBOX": "bubblewrap",
        "AGENT_KERNEL_MODEL": "chat/small",
        "AGENT_KERNEL_UPSTREAM_KEY": KEY,
    }


@pytest.mark.bubblewrap
def test_model_server_that_has_everything(environment: dict[str, str]) -> None:
    with serving(llama_cpp(True, 4096, "small")) as server:
        code, found = findings({**environment, "AGENT_KERNEL_UPSTREAM_URL": server.url})
    assert code == 0, found
    assert found["model server"]["detail"] == f"{server.url} serves small"
    assert found["model tools"]["detail"] == "accepted"
    assert found["context"]["detail"] == "4,096 tokens"


@pytest.mark.bubblewrap
def test_address_without_a_server_fails(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    code, text = doctor({**environment, "AGENT_KERNEL_UPSTREAM_URL": url})
    assert code == 1
    assert f"missing model server No server answers at {url}" in text
    assert "→ Start the model server" in text
    assert "A requirement is missing" in text


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("answers", "name"),
    [
        (llama_cpp(False, 4096, "small"), "model tools"),
        ({"/v1/models": models("\x1b[2Jother")}, "model server"),
        ({"/v1/models": 401}, "model server"),
    ],
    ids=["no tools", "other model", "wrong key"],
)
def test_failing_model_has_a_next_step(environment: dict[str, str], answers: Any, name: str) -> None:
    with serving(answers) as server:
        upstreams = {"mine": {"url": server.url, "key": KEY, "dialect": "responses"}}
        code, found = findings(
            {
                **environment,
                "AGENT_KERNEL_UPSTREAMS": json.dumps(upstreams),
                "AGENT_KERNEL_MODEL": "mine/small",
            }
        )
    assert code == 1
    assert [each for each, finding in found.items() if finding["needed"] and not finding["ok"]] == [name]
    assert found[name]["hint"]
    assert found[name]["detail"].isprintable()


@pytest.mark.bubblewrap
def test_every_named_upstream_is_asked(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with serving(llama_cpp(True, 4096, "small")) as first, serving({"/v1/models": 401}) as second:
        urls = {"mine": first.url, "same": first.url, "locked": second.url, "closed": closed}
        upstreams = {name: {"url": url, "key": KEY, "dialect": "chat"} for name, url in urls.items()}
        code, found = findings(
            {
                **environment,
                "AGENT_KERNEL_UPSTREAMS": json.dumps(upstreams),
                "AGENT_KERNEL_MODEL": "mine/small",
            }
        )
    assert code == 0, found
    assert found["model server"]["detail"] == f"{first.url} serves small"
    assert "mine/" not in found
    assert (found["same/"]["ok"], found["same/"]["detail"]) == (True, f"{first.url} answers")
    for name in ("locked/", "closed/"):
        assert (found[name]["ok"], found[name]["needed"]) == (False, False)
        assert found[name]["hint"]


@pytest.mark.bubblewrap
async def test_sandbox_that_does_not_start_fails(tmp_path: Path) -> None:
    finding = await _packages(BubblewrapBackend(tmp_path, Toolbox(tmp_path)))
    assert (finding.name, finding.ok, finding.needed) == ("first sandbox", False, True)
    assert "toolbox" in finding.detail
    assert finding.hint


@pytest.mark.bubblewrap
def test_network_and_presets_are_shown(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("registry=https://user:hunter2@npm.invalid/\n")
    settings = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}
    tools = {
        "GOPROXY": "http://go.invalid",
        "GOSUMDB": "off",
        "CARGO_HOME": str(tmp_path),
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    given = {**environment, **settings, **tools, "AGENT_KERNEL_NETWORK": "go, a.example, tcp://b:1"}
    _, found = findings(given)
    assert found["network"]["detail"] == "containers may reach go, a.example, tcp://b:1"
    assert found["preset go"]["detail"].startswith("go.invalid:80; file hosts may be missing: go.invalid:80 ")
    assert found["preset npm"]["detail"] == "not in AGENT_KERNEL_NETWORK; it would allow npm.invalid:443"
    assert (found["preset git"]["ok"], found["preset git"]["needed"]) == (False, False)
    assert "git config --global" in found["preset git"]["hint"]
    assert (found["secrets"]["ok"], found["secrets"]["needed"]) == (True, False)
    assert "hunter2" not in str(found)
    assert "first sandbox" not in found


@pytest.mark.parametrize(
    ("allowed", "problem"),
    [
        ("a.example, GET b.example", "`GET b.example` and domain_secrets are refused: the packages"),
        ("a.example", "domain_secrets are refused: the packages"),
    ],
)
def test_missing_packages_of_secrets_are_named(
    environment: dict[str, str],
    allowed: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = {**environment, "AGENT_KERNEL_NETWORK": allowed}
    monkeypatch.setitem(sys.modules, "h2", None)
    found = asyncio.run(_network(load(environ=given, folders=[])))[1]
    assert (found.name, found.ok, found.needed) == ("secrets", False, "GET" in allowed)
    assert found.detail.startswith(problem)
    assert found.hint == 'pip install "jupyter-agent-kernel[egress]"'
    served = call("serve", "--host", "0.0.0.0", "--port", "0", environment=given)
    assert f"AGENT_KERNEL_NETWORK: {problem}" in caplog.text
    assert "AGENT_KERNEL_API_KEY" in served.stderr


@pytest.mark.bubblewrap
def test_preset_without_hosts_fails(environment: dict[str, str], tmp_path: Path) -> None:
    given = {**environment, "HOME": str(tmp_path), "GIT_CONFIG_SYSTEM": os.devnull}
    code, found = findings({**given, "AGENT_KERNEL_NETWORK": "git"})
    assert code == 1
    assert "The preset git names no host on this machine" in found["network"]["detail"]
    assert findings(environment)[1]["network"]["detail"].startswith("no container has one")
