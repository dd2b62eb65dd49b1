"""Complete deletion takes the cassettes of a session, and no other file that its state may name."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from agent_kernel.cassettes.cassette import Cassette
from agent_kernel.cassettes.writing import write
from agent_kernel.runtime.deletion.belongings import Belongings
from agent_kernel.runtime.deletion.own_files import remove_own_files
from agent_kernel.store.records import SessionRow

HERE = socket.gethostname()


def session(*cassettes: object, id_: str = "sess_a", tenant: str = "") -> SessionRow:
    state = json.dumps({"cassettes": list(cassettes)})
    return SessionRow(id_, "", 0.0, 0.0, None, None, "", state, tenant=tenant)


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    write(path, Cassette("a.ipynb", "scripted/x"))
    return path


def test_recorded_cassette_is_removed(cassette: Path) -> None:
    found = Belongings(session(f"{HERE}:{cassette}", f"{HERE}:{cassette.parent / 'gone.yaml'}"))
    assert remove_own_files(found, [], None) == [f"the cassette {cassette}"]
    assert (cassette.exists(), found.shared) == (False, [])


def test_only_own_cassettes_of_this_machine_are_removed(cassette: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.yaml").write_text("mine: true\n")
    named = [f"elsewhere:{cassette}", f"{HERE}:{tmp_path / 'notes.yaml'}", f"{HERE}:{tmp_path}", 7, "", "x"]
    found = Belongings(session(*named))
    assert remove_own_files(found, [], None) == []
    assert found.shared[:2] == [
        f"the cassette {cassette}: it is on elsewhere",
        f"{tmp_path / 'notes.yaml'}: it is not a cassette",
    ]
    found = Belongings(session(f"{HERE}:{cassette}"))
    assert remove_own_files(found, [session(f"{HERE}:{cassette}", id_="sess_b")], None) == []
    assert found.shared == [f"the cassette {cassette}: another session records there too"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.yaml", "notes.yaml"]


@pytest.mark.parametrize("state", ["", "no json", "[]", '{"cassettes": 7}', "[" * 100_000])
def test_unreadable_state_names_no_cassette(state: str) -> None:
    row = SessionRow("sess_a", "", 0.0, 0.0, None, None, "", state)
    assert remove_own_files(Belongings(row), [], None) == []


def test_session_of_a_key_names_no_cassette(cassette: Path) -> None:
    found = Belongings(session(f"{HERE}:{cassette}", tenant="alice"))
    assert remove_own_files(found, [], None) == []
    assert cassette.exists()
