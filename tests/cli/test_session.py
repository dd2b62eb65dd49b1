"""`agent-kernel session`: conversations that a runtime has stored, written by the command."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from agent_kernel.cli import compose
from agent_kernel.cli.session.delete import summary
from agent_kernel.cli.session.replaying import ReplayProgress
from agent_kernel.config import load
from agent_kernel.store.records import ResponseRow, SessionRow
from tests.cli.command import call
from tests.conversion.rows import PIXEL, PIXEL_URL, answer, code, message, printed, shell, turn

ROWS = [
    turn(
        1,
        [message("user", "Draw the table.")],
        [
            shell("wc -l a.csv"),
            printed(("7 a.csv\n", "", 0)),
            code("plot()", pictures=[PIXEL_URL]),
            answer("Seven."),
        ],
    ),
    turn(2, [message("user", "Thanks")], [answer("You are welcome.")]),
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A data folder with one conversation of two turns."""
    variables = {**os.environ, "AGENT_KERNEL_DATA_DIR": str(tmp_path / "data")}
    asyncio.run(_stored(tmp_path / "data", ROWS))
    return variables


async def _stored(folder: Path, rows: list[ResponseRow]) -> None:
    store = compose.store(load({"data_dir": str(folder)}))
    for row in rows:
        await store.rows.put_response(row)
    for number, name in enumerate(("tables", "twice", "twice")):
        kept = SessionRow(f"sess_{number}", name, 1.0, 2.0, "resp_2", "cntr_1", "", "{}")
        assert await store.rows.add_session(kept, 10)
    await store.aclose()


@pytest.mark.parametrize("form", ["chat", "anthropic"])
def test_conversation_is_written_as_json(form: str, environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    done = call("session", "export", "resp_2", "--as", form, str(file), environment=environment)
    assert (done.returncode, done.stdout) == (0, f"{file}: 2 turns\n"), done.stderr
    body = json.loads(file.read_text())
    assert len(body["tools"]) == 2
    assert "You are welcome." in json.dumps(body["messages"][-1])
    assert not [each for each in body["messages"] if each["role"] == "tool"] or form == "chat"


def test_page_is_written_with_its_pictures_beside_it(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "table.md"
    done = call("session", "export", "resp_2", "--as", "markdown", str(file), environment=environment)
    assert done.returncode == 0, done.stderr
    assert file.read_text().startswith("# table\n")
    assert (tmp_path / "table_files" / "picture-1.png").read_bytes() == PIXEL
    again = call("session", "export", "resp_2", "--as", "markdown", str(file), environment=environment)
    assert again.returncode == 2
    assert "already" in again.stderr
    forced = call(
        "session", "export", "resp_1", "--as", "markdown", "--force", str(file), environment=environment
    )
    assert forced.returncode == 0, forced.stderr
    assert "Thanks" not in file.read_text()


def test_page_can_be_printed(environment: dict[str, str]) -> None:
    done = call("session", "export", "resp_2", "--as", "markdown", "-", environment=environment)
    assert done.returncode == 0, done.stderr
    assert "## 2. Thanks\n" in done.stdout


@pytest.mark.parametrize("form", ["chat", "markdown", "code"])
def test_export_says_why_a_file_is_not_written(form: str, environment: dict[str, str]) -> None:
    for file in ("/proc/page", f"{'x' * 300}.md"):
        arguments = ["--as", form, file, *(["--no-verify"] if form == "code" else [])]
        done = call("session", "export", "resp_2", *arguments, environment=environment)
        assert done.returncode == 2
        assert done.stderr.startswith(f"agent-kernel: {file} cannot be written: "), done.stderr
        assert done.stderr.endswith("\n  Free space there, or name another place.\n")


def test_code_is_not_printed(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("session", "export", "resp_2", "--as", "code", "-", environment=environment)
    assert done.returncode == 2
    assert "cannot be printed" in done.stderr
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("action", [["show"], ["replay", "--model", "scripted/demo"]])
def test_name_too_long_for_a_file_is_unknown(action: list[str], environment: dict[str, str]) -> None:
    done = call("session", *action, f"{'x' * 300}.session", environment=environment)
    assert done.returncode == 2
    assert "There is no kept session" in done.stderr


def test_unknown_conversation_is_named_and_nothing_written(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "x.md"
    done = call("session", "export", "resp_9", "--as", "markdown", str(file), environment=environment)
    assert done.returncode == 2
    assert "There is no conversation 'resp_9'" in done.stderr
    assert not file.exists()


def test_what_is_unknown_has_a_next_step(environment: dict[str, str], tmp_path: Path) -> None:
    lost = call("session", "import", "nope", environment=environment)
    assert "`agent-kernel session export` wrote" in lost.stderr
    unknown = call("session", "export", "resp_nope", str(tmp_path / "x"), environment=environment)
    assert "agent-kernel session list" in unknown.stderr
    shown = call("session", "show", "sess_0", environment=environment)
    assert "updated_at: 1970-01-01 00:00 UTC\n" in shown.stdout


def test_many_that_were_removed_are_one_line() -> None:
    many = [f"the response resp_{number}" for number in range(7)]
    few = ["the container cntr_1", "the uploaded file file-1", "the uploaded file file-2"]
    assert summary([few[0], *many, *few[1:]]) == [few[0], "7 responses", *few[1:]]


def test_progress_of_many_turns_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ReplayProgress()
    for number in range(1, 205):
        progress.turn("m", number, 204)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (11, "m: turn 1 of 204", "m: turn 204 of 204")


@pytest.mark.parametrize("name", ["sess_0", "tables"])
def test_kept_session_is_found_by_id_and_name(name: str, environment: dict[str, str]) -> None:
    done = call("session", "export", name, "--as", "markdown", "-", environment=environment)
    assert done.returncode == 0, done.stderr
    assert "## 2. Thanks\n" in done.stdout


def test_name_of_two_sessions_lists_their_ids(environment: dict[str, str]) -> None:
    done = call("session", "export", "twice", "--as", "markdown", "-", environment=environment)
    assert done.returncode == 2
    assert "2 sessions have the name 'twice'" in done.stderr
    assert "sess_1" in done.stderr


def test_damaged_turn_is_named_without_a_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    odd = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": "ls"}
    asyncio.run(_put(tmp_path / "data", turn(3, [message("user", "x")], [odd])))
    for form in ("chat", "markdown", "code"):
        done = call("session", "export", "resp_3", "--as", form, str(tmp_path / "x"), environment=environment)
        assert done.returncode == 2
        assert "The response resp_3 is damaged" in done.stderr
    assert not (tmp_path / "x").exists()


async def _put(folder: Path, row: ResponseRow) -> None:
    store = compose.store(load({"data_dir": str(folder)}))
    await store.rows.put_response(row)
    await store.aclose()
