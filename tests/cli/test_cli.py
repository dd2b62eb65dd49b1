"""The command line: each command is run once in a process of its own, otherwise in the test's process."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from agent_kernel import __version__
from agent_kernel.cli import COMMANDS
from tests.cli.command import Done, Environment, call, launch, start
from tests.forked import Forked, serve
from tests.notebooks.saved import assert_equal, outputs, read, saved


def check_explained(done: Done, *words: str) -> None:
    """Exit code 2, the words, a hint on a line of its own, and no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("agent-kernel")
    assert len(done.stderr.strip().splitlines()) == 2
    for word in words:
        assert word in done.stderr


def test_help_names_every_command() -> None:
    done = start("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: agent-kernel ")


def test_version() -> None:
    assert launch("--version").stdout.strip() == __version__


def test_an_unknown_command_is_explained() -> None:
    check_explained(start("sreve"), "sreve", "--help")


def test_flags_are_named_as_the_variables() -> None:
    shown = call("serve", "--help").stdout
    for name in ("MODEL", "SANDBOX", "IMAGE", "DOCKER_RUNTIME", "API_KEY", "DATA_DIR", "UPSTREAM_URL"):
        assert f"AGENT_KERNEL_{name}" in shown
        assert "--" + name.lower().replace("_", "-") in shown
    assert "--host" in shown
    assert "--port" in shown


# --- doctor ------------------------------------------------------------------------------------------------


def doctor(environment: Environment) -> tuple[int, dict[str, dict[str, object]]]:
    done = call("doctor", "--json", environment=environment)
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    return done.returncode, {finding["name"]: finding for finding in report["findings"]}


@pytest.mark.bubblewrap
def test_doctor_of_a_healthy_machine(own_environment: Environment) -> None:
    code, findings = doctor({**own_environment, "AGENT_KERNEL_SANDBOX": "bubblewrap"})
    assert code == 0, findings
    assert findings["bubblewrap"]["ok"]
    assert findings["bubblewrap"]["needed"]
    assert not findings["docker"]["needed"]
    assert str(findings["model"]["detail"]).startswith("scripted/demo")
    assert "model server" not in findings
    packages, _, missing = str(findings["packages"]["detail"]).partition("; not available: ")
    assert re.match(r"pandas \d+\.\d+\.\d+, numpy \d.* polars \d.* pyreadstat \d", packages)
    assert missing == "odfpy"
    assert not findings["kernelspec"]["needed"]


def test_doctor_says_what_is_missing_and_what_mends_it(own_environment: Environment, tmp_path: Path) -> None:
    silent = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock", "AGENT_KERNEL_SANDBOX": "docker"}
    code, findings = doctor({**own_environment, **silent})
    assert code == 1
    assert not findings["docker"]["ok"]
    assert findings["docker"]["hint"]


def test_doctor_as_a_table(own_environment: Environment, tmp_path: Path) -> None:
    silent = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock", "AGENT_KERNEL_SANDBOX": "docker"}
    done = start("doctor", environment={**own_environment, **silent})
    assert done.returncode == 1
    assert "missing docker" in done.stdout
    assert "→ " in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.bubblewrap
def test_auto_takes_bubblewrap_where_no_engine_answers_and_says_why(
    own_environment: Environment, tmp_path: Path
) -> None:
    code, findings = doctor({**own_environment, "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"})
    assert code == 0
    assert findings["sandbox"]["detail"] == "bubblewrap, because no Docker Engine answers"


@pytest.mark.docker
def test_auto_takes_docker_where_an_engine_answers(own_environment: Environment, docker_engine: None) -> None:
    _, findings = doctor(own_environment)
    assert findings["sandbox"]["detail"] == "docker, because an engine answers"
    packages, _, missing = str(findings["packages"]["detail"]).partition("; not available: ")
    assert re.match(r"pandas \d+\.\d+\.\d+, numpy \d.* odfpy \d", packages)
    assert missing == "python-calamine, pyarrow, polars, duckdb, pyreadstat"


@pytest.mark.docker
def test_auto_is_no_way_around_a_missing_image(own_environment: Environment, docker_engine: None) -> None:
    code, findings = doctor({**own_environment, "AGENT_KERNEL_IMAGE": "agent-kernel/not-there:9"})
    assert code == 1
    assert findings["sandbox"]["detail"] == "docker, because an engine answers"
    assert "not-there" in str(findings["docker"]["detail"])


def test_an_asked_for_isolation_is_never_dropped(own_environment: Environment, tmp_path: Path) -> None:
    silent = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock", "AGENT_KERNEL_DOCKER_RUNTIME": "runsc"}
    code, findings = doctor({**own_environment, **silent})
    assert code == 1
    assert not findings["sandbox"]["ok"]
    done = call("doctor", environment={**own_environment, **silent, "AGENT_KERNEL_SANDBOX": "bubblewrap"})
    assert done.returncode == 1
    assert "runsc" in done.stdout


def test_doctor_with_a_key_and_no_model(own_environment: Environment) -> None:
    code, findings = doctor({**own_environment, "OPENAI_API_KEY": "s3cret"})
    assert code == 1
    assert "AGENT_KERNEL_MODEL" in str(findings["model"]["hint"])
    assert "s3cret" not in json.dumps(findings)


# --- install -----------------------------------------------------------------------------------------------


def test_install_into_a_prefix(own_environment: Environment, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    done = start("install", "--prefix", str(prefix), "--no-toolbox", environment=own_environment)
    assert done.returncode == 0, done.stderr
    folder = prefix / "share" / "jupyter" / "kernels" / "agent"
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["display_name"] == "Agent"
    assert spec["interrupt_mode"] == "message"
    assert spec["argv"][0] == sys.executable
    assert str(folder) in done.stdout
    assert (folder / "logo-64x64.png").exists()


def test_install_for_the_user_is_found_by_doctor(own_environment: Environment) -> None:
    done = call("install", "--user", "--no-toolbox", environment=own_environment)
    assert done.returncode == 0, done.stderr
    assert own_environment["JUPYTER_DATA_DIR"] in done.stdout
    _, findings = doctor(own_environment)
    assert findings["kernelspec"]["ok"]


def test_install_where_nobody_may_write(own_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("install", "--prefix", str(tmp_path / "file"), "--no-toolbox", environment=own_environment)
    check_explained(done, str(tmp_path / "file"), "--prefix")


# --- serve -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_serve_refuses_the_world_without_a_key(host: str, own_environment: Environment) -> None:
    done = call("serve", "--host", host, "--port", "0", environment=own_environment)
    check_explained(done, "AGENT_KERNEL_API_KEY", host)


def test_serve_refuses_an_unknown_setting(own_environment: Environment) -> None:
    done = start("serve", environment={**own_environment, "AGENT_KERNEL_SANDBOX": "vm"})
    check_explained(done, "auto, docker, bubblewrap")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_when_told_to(
    number: signal.Signals, own_environment: Environment, tmp_path: Path
) -> None:
    with (tmp_path / "errors").open("w+") as errors:
        process, url = serve(
            "--sandbox", "bubblewrap", environment={**own_environment}, stderr=errors.fileno()
        )
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(number)
        process.wait(60)
        assert "Traceback" not in (tmp_path / "errors").read_text()


# --- containers --------------------------------------------------------------------------------------------


def test_no_containers(own_environment: Environment) -> None:
    done = start("containers", "list", "--sandbox", "bubblewrap", environment=own_environment)
    assert (done.returncode, done.stdout) == (0, "No containers.\n"), done.stderr


def test_an_unknown_container_is_explained(own_environment: Environment) -> None:
    done = call("containers", "rm", "cntr_x", "--sandbox", "bubblewrap", environment=own_environment)
    check_explained(done, "cntr_x", "containers list")


@pytest.mark.bubblewrap
def test_containers_are_listed_and_removed(own_environment: Environment, tmp_path: Path) -> None:
    """One that its process left behind: the lease would end it, `rm` ends it now."""
    code = """
import asyncio, os
from agent_kernel import config
from agent_kernel.cli.compose import local_runtime
async def main():
    runtime = local_runtime(config.load(), lease=600)
    container = await runtime.containers.create({"name": "left behind"})
    print(container.id, flush=True)
    os._exit(0)
asyncio.run(main())
"""
    environment = {**own_environment, "AGENT_KERNEL_SANDBOX": "bubblewrap"}
    made = Forked("-c", code, environment=environment, stderr=2)
    container = made.stdout.read().strip()
    assert made.wait() == 0
    assert container.startswith("cntr_")

    listed = json.loads(call("containers", "list", "--json", environment=environment).stdout)
    assert [(entry["id"], entry["name"], entry["status"]) for entry in listed] == [
        (container, "left behind", "running")
    ]
    done = call("containers", "rm", container, environment=environment)
    assert done.stdout == "1 container removed.\n", done.stderr
    assert json.loads(call("containers", "list", "--json", environment=environment).stdout) == []
    assert not any((Path(environment["AGENT_KERNEL_DATA_DIR"]) / "sandboxes").iterdir())


# --- demo --------------------------------------------------------------------------------------------------


@pytest.mark.bubblewrap
def test_the_demo(own_environment: Environment, tmp_path: Path) -> None:
    """Whatever is configured: it plays its script, in bubblewrap, and leaves a notebook and a page."""
    elsewhere = {
        "OPENAI_API_KEY": "s3cret",
        "AGENT_KERNEL_MODEL": "openai/none",
        "AGENT_KERNEL_SANDBOX": "docker",
    }
    done = launch(
        "demo", "--output", str(tmp_path / "out"), environment={**own_environment, **elsewhere}, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "▶ Is a longer bill a deeper bill?" in done.stdout
    assert "$ head -n 5 penguins.csv" in done.stdout
    assert "344[a] penguins" in done.stdout
    assert "Demo mode: the answers are pre-written" in done.stdout
    assert "\x1b" not in done.stdout
    ran = outputs(read(tmp_path / "out" / "01_first_questions.ipynb"))
    assert_equal(ran, saved("01_first_questions"))
    assert any("image/png" in output for output in ran)
    page = (tmp_path / "out" / "01_first_questions.html").read_text()
    assert ">344</a> penguins" in page
    assert str(tmp_path / "out") in done.stdout
    assert not any((Path(own_environment["AGENT_KERNEL_DATA_DIR"]) / "sandboxes").iterdir())
