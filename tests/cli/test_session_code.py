"""`agent-kernel session export --as code`: the notebook runs without an agent, and what differs is said."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import call
from tests.cli.conversation import PEOPLE, conversation

pytestmark = pytest.mark.bubblewrap

SCRIPT = r"""
turns:
  - when: Count the people
    do:
      - shell:
          - ls -l
          - tail -n +2 people.csv | wc -l
          - "mean() { awk -F, 'NR > 1 {s += $2} END {printf \"mean %.2f\\n\", s / (NR - 1)}' people.csv; }"
          - mean > mean.txt; mean
          - cat nothing.csv
      - tool:
          type: code_interpreter
          arguments:
            code: |-
              import pathlib
              text = pathlib.Path('mean.txt').read_text()
              print('took', text)
              len(text)
      - tool:
          type: code_interpreter
          arguments: {code: "pathlib.Path('twice.txt').write_text(text * 2);"}
      - say: "The mean age is {mean}."
        quote: {mean: 'mean (\S+)'}
  - when: Now with a failure
    do:
      - shell:
          - printf 'print(1)\n' > part.py; python3 missing.py
          - date +%s%N > never-the-same.txt
          - python3 part.py
      - say: Done.
  - when: A strange name
    do:
      - shell:
          - "date +%s%N > $'\\e[31mred'"
          - "printf '\\e[31m%s' $RANDOM"
      - say: Made.
"""
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def in_sandbox(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the tests' environment where it can write this folder only, without a network."""
    bwrap = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev"]
    mounts = ["--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/mnt", "--bind", str(folder), "/mnt/data"]
    words = [*bwrap, *mounts, "--chdir", "/mnt/data", "--setenv", "HOME", "/tmp", "--", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=100)


@pytest.fixture
def model(tmp_path: Path) -> str:
    file = tmp_path / "script.yaml"
    file.write_text(SCRIPT)
    return f"scripted/{file}"


@pytest.mark.parametrize(
    ("sandbox", "other"),
    [("bubblewrap", "docker"), pytest.param("docker", "bubblewrap", marks=pytest.mark.slow)],
)
def test_notebook_is_verified_on_the_other_backend(
    sandbox: str,
    other: str,
    model: str,
    own_environment: dict[str, str],
    tmp_path: Path,
    docker_engine: None,
) -> None:
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    last, _ = asyncio.run(conversation(data, sandbox, model, ["Count the people"]))
    folder = tmp_path / "code"
    done = call("session", "export", last, str(folder), "--as", "code", environment=own_environment)
    listed = call("containers", "list", "--json", environment=own_environment)
    call("containers", "rm", "--all", environment=own_environment)
    assert done.returncode == 0, done.stderr
    assert "4 steps, 3 left out" in done.stdout, done.stdout
    assert "Verified: files and figures are the same." in done.stdout
    assert [each["name"] for each in json.loads(listed.stdout)] == ["people"]
    notebook = json.loads((folder / "people.ipynb").read_text())
    report = notebook["cells"][-1]["source"]
    assert f"fresh {other} sandbox without a network" in report
    assert "`ls -l` (only looked)" in report
    assert "failed: exit 1" in report


def test_notebook_and_script_run_without_this_package(
    model: str, own_environment: dict[str, str], tmp_path: Path
) -> None:
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    last, container_id = asyncio.run(conversation(data, "bubblewrap", model, ["Count the people"]))
    folder = tmp_path / "code"
    words = ("session", "export", last, str(folder), "--as", "code", "--no-verify")
    done = call(*words, environment=own_environment)
    call("containers", "rm", container_id, environment=own_environment)
    assert "Not verified: It was not run: --no-verify was given." in done.stdout, done.stderr
    (folder / "people.csv").write_bytes(PEOPLE)
    python = Path(sys.executable).as_posix()
    ran = in_sandbox(folder, python, "-m", "jupyter", "execute", "--inplace", "people.ipynb")
    assert ran.returncode == 0, ran.stderr
    cells = json.loads((folder / "people.ipynb").read_text())["cells"]
    texts = "".join(str(each.get("text", "")) for cell in cells for each in cell.get("outputs", ()))
    assert "mean 38.50" in texts
    assert (folder / "twice.txt").read_text() == "mean 38.50\n" * 2
    (folder / "twice.txt").unlink()
    ran = in_sandbox(folder, python, "people.py")
    assert ran.returncode == 0, ran.stderr
    assert (folder / "twice.txt").exists()
    (folder / "people.csv").write_bytes(PEOPLE + b"Eve,7\n")
    ran = in_sandbox(folder, python, "people.py")
    assert "people.csv is not the file that these results were made from" in ran.stderr


def test_what_differs_is_listed_and_failed_steps_come_back(
    model: str, own_environment: dict[str, str], tmp_path: Path, docker_engine: None
) -> None:
    """A failed step wrote a file that a later one needs: so it is kept. A random number stays different."""
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    last, container_id = asyncio.run(
        conversation(data, "bubblewrap", model, ["Now with a failure", "A strange name"])
    )
    folder = tmp_path / "code"
    done = call("session", "export", last, str(folder), "--as", "code", environment=own_environment)
    call("containers", "rm", container_id, environment=own_environment)
    assert done.returncode == 0, done.stderr
    assert "people.sh: 5 steps, 0 left out" in done.stdout
    assert done.stdout.count("Not verified:") == 3, done.stdout
    assert "\x1b" not in done.stdout
    assert "Not verified: red differs:" in done.stdout
    assert "Not verified: never-the-same.txt differs:" in done.stdout
    cells = json.loads((folder / "people.ipynb").read_text())["cells"]
    assert "%%bash --no-raise-error\nprintf" in cells[4]["source"]
    assert "never-the-same.txt differs" in cells[-1]["source"]
    (folder / "people.csv").write_bytes(PEOPLE)
    ran = in_sandbox(folder, "bash", "people.sh")
    assert (ran.returncode, ran.stdout[:2]) == (0, "1\n"), ran.stderr
    (folder / "people.csv").write_bytes(b"another")
    assert in_sandbox(folder, "bash", "people.sh").returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_second_example_becomes_a_script_with_the_same_figures(
    own_environment: dict[str, str], tmp_path: Path, docker_engine: None
) -> None:
    """Run in bubblewrap and verified in Docker: the tables are the same, the drawn picture need not be."""
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    cells = json.loads((NOTEBOOKS / "02_late_payers.ipynb").read_text())["cells"]
    prompts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"][1:]
    model = f"replay/{NOTEBOOKS / 'cassettes' / '02_late_payers.yaml'}"
    invoices = ("invoices.csv.gz", (NOTEBOOKS / "data" / "invoices.csv.gz").read_bytes())
    last, container_id = asyncio.run(conversation(data, "bubblewrap", model, prompts, invoices))
    folder = tmp_path / "code"
    done = call("session", "export", last, str(folder), "--as", "code", environment=own_environment)
    call("containers", "rm", container_id, environment=own_environment)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    unverified = [line for line in done.stdout.splitlines() if line.startswith("Not verified:")]
    assert all("late.png" in line for line in unverified), done.stdout
    assert (folder / "people.sh").read_text().count("clean.py") >= 2


def test_notebook_is_written_where_no_other_backend_answers(
    model: str, own_environment: dict[str, str], tmp_path: Path
) -> None:
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    last, container_id = asyncio.run(conversation(data, "bubblewrap", model, ["Count the people"]))
    environment = {**own_environment, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    words = ("session", "export", last, str(tmp_path / "code"), "--as", "code", "--sandbox", "bubblewrap")
    done = call(*words, environment=environment)
    call("containers", "rm", container_id, environment=own_environment)
    assert done.returncode == 0, done.stderr
    assert "Not verified: It could not be run in docker:" in done.stdout
    report = json.loads((tmp_path / "code" / "people.ipynb").read_text())["cells"][-1]["source"]
    assert "It could not be run in docker" in report
    again = call("session", "export", last, str(tmp_path / "code"), "--as", "code", environment=environment)
    assert "is not empty" in again.stderr


def test_conversation_without_its_container_is_still_written(
    model: str, own_environment: dict[str, str], tmp_path: Path
) -> None:
    data = Path(own_environment["AGENT_KERNEL_DATA_DIR"])
    last, container_id = asyncio.run(conversation(data, "bubblewrap", model, ["Count the people"]))
    call("containers", "rm", container_id, environment=own_environment)
    words = ("session", "export", last, str(tmp_path / "code"), "--as", "code")
    done = call(*words, environment=own_environment)
    assert done.returncode == 0, done.stderr
    assert "Not verified: Its container cannot be read:" in done.stdout
    assert (tmp_path / "code" / "conversation.py").exists()
    replayed = call("session", "replay", last, "--model", model, environment=own_environment)
    assert replayed.returncode == 2
    assert "The container of this conversation is gone" in replayed.stderr
