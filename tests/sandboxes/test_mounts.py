"""The folders that an operator may name, and those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import ConfigurationError
from agent_kernel.sandboxes.mounts import SYSTEM, HostMount, read_mounts


def refused(name: str, source: str, private: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as found:
        HostMount(name, source).check([private] if private else [])
    return found.value.message


def test_reads_names_and_folders() -> None:
    found = read_mounts("sales=/srv/sales: /srv/maps :geo = /srv/g")
    assert found == {
        "sales": HostMount("sales", "/srv/sales"),
        "maps": HostMount("maps", "/srv/maps"),
        "geo": HostMount("geo", "/srv/g"),
    }
    assert read_mounts("") == {}
    assert found["sales"].target == "/mnt/sales"


@pytest.mark.parametrize("text", ["a=", "a=/x:a=/y", "/srv/x:/other/x"])
def test_refuses_entries_that_are_unclear(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_mounts(text)


def test_accepts_an_ordinary_folder(tmp_path: Path) -> None:
    HostMount("sales", str(tmp_path.resolve())).check([tmp_path.resolve().with_name("private")])


@pytest.mark.parametrize("place", ["/", *SYSTEM, "/etc/ssl", "/proc/self", "/var", "/dev/shm", "/var/lib"])
def test_refuses_folders_of_the_system(place: str) -> None:
    assert "would expose" in refused("x", place) or "contains your home" in refused("x", place)


def test_refuses_home_and_its_hidden_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path.resolve() / "people" / "ann"
    for folder in (".ssh", "data/.cache", "data/sales"):
        (home / folder).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert "home folder" in refused("x", str(home))
    assert "home folder" in refused("x", str(home.parent))
    assert "hidden folder" in refused("x", str(home / ".ssh"))
    assert "hidden folder" in refused("x", str(home / "data" / ".cache"))
    HostMount("sales", str(home / "data" / "sales")).check()


def test_refuses_whatever_holds_private_data(tmp_path: Path) -> None:
    data = tmp_path.resolve() / "agent-kernel"
    (data / "sandboxes").mkdir(parents=True)
    for folder in (data, data / "sandboxes", data.parent):
        assert f"would expose {data}" in refused("x", str(folder), data)


def test_refuses_what_is_not_a_plain_folder(tmp_path: Path) -> None:
    real = tmp_path.resolve() / "real"
    (real / "inner").mkdir(parents=True)
    (real / "file").write_text("x")
    (real.parent / "link").symlink_to(real)
    assert "No such file" in refused("x", str(real / "absent"))
    assert "is not a folder" in refused("x", str(real / "file"))
    assert "symbolic link" in refused("x", str(real.parent / "link"))
    assert "symbolic link" in refused("x", str(real.parent / "link" / "inner"))


@pytest.mark.parametrize("source", ["relative/path", "/srv/../etc", "/srv/", "//srv", ""])
def test_refuses_paths_that_are_not_plain(source: str) -> None:
    assert "full path" in refused("x", source)


@pytest.mark.parametrize("name", ["data", "", "..", "a/b", ".hidden", "a b", "x" * 65, "é"])
def test_refuses_names_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    assert "name of a mount" in refused(name, str(tmp_path.resolve()))
