"""`%container` and `%mount` in a real kernel: limits, folders of the host, and what is never lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.kernel.client import Notebook
from tests.kernel.magics.asked import asked
from tests.kernel.sandboxes import container_of, kill_sandbox
from tests.kernel.upstream import played

pytestmark = pytest.mark.bubblewrap

Start = Callable[..., Notebook]


def test_a_new_container(fresh: Notebook) -> None:
    fresh.run("remember")
    before = fresh.run("%container").plain[0]
    assert "status     running" in before
    assert "time left" in before
    assert "sandbox    bubblewrap" in before
    assert "isolation  namespaces" in before
    after = fresh.run("%container --new").plain[0]
    assert after.split("name")[0] != before.split("name")[0]
    assert fresh.run("%files").plain == ["There are no files in `/mnt/data`."]
    assert fresh.run("!!echo [$COLOUR]").final[0]["text"] == "[]\n"


def test_a_new_container_with_limits(fresh: Notebook) -> None:
    shown = fresh.run("%container --new open_files=100").plain[0]
    assert "open_files  100" in shown
    assert fresh.run("!!ulimit -n").final[0]["text"] == "100\n"
    assert "open_files  100" in fresh.run("%container").plain[0]


@pytest.fixture
def offered(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A kernel whose operator offers the folder `sales`."""
    folder = tmp_path.resolve() / "big" / "sales"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("x\n1\n")
    monkeypatch.setenv("AGENT_KERNEL_MOUNTS", f"sales={folder}")
    return start()


def test_mount_shows_a_folder_of_the_host(offered: Notebook) -> None:
    assert "sales   /mnt/sales        no" in offered.run("%mount").plain[0]
    assert offered.run("%mount sales").plain == ["Mounted, read-only: `/mnt/sales`."]
    assert offered.run("!!cat /mnt/sales/a.csv").final[0]["text"] == "x\n1\n"
    assert "yes" in offered.run("%mount").plain[0]
    offered.run("!!echo kept > kept.txt")
    assert offered.run("%mount sales").plain == ["Mounted, read-only: `/mnt/sales`."]  # the cell is run again
    assert offered.run("!!cat kept.txt").final[0]["text"] == "kept\n"


def test_a_container_that_died_has_the_same_mounts(offered: Notebook) -> None:
    offered.run("%mount sales")
    kill_sandbox(container_of(offered))
    assert offered.run("say hello").plain[0].startswith("The container was ended from outside")
    assert offered.run("!!cat /mnt/sales/a.csv").final[0]["text"] == "x\n1\n"


def test_the_model_is_told_of_mounts(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with played() as upstream:
        monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_URL", upstream.url)
        monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_KEY", "none")
        monkeypatch.setenv("AGENT_KERNEL_MODEL", "chat/played")
        monkeypatch.setenv("AGENT_KERNEL_MOUNTS", str(tmp_path.resolve()))
        told = asked(start("agent-demo"), upstream, f"%mount {tmp_path.name}\nLook at it.")
    assert f"mounted read-only:\n- /mnt/{tmp_path.name}" in told


def test_mount_never_replaces_a_container_unasked(offered: Notebook) -> None:
    offered.run("!!echo kept > kept.txt")
    refused = offered.run("%mount sales")
    assert "only when a container is created" in refused.error
    assert "%mount sales --new" in refused.error
    assert offered.run("!!cat kept.txt").final[0]["text"] == "kept\n"
    assert offered.run("%mount sales --new").plain == ["Mounted, read-only: `/mnt/sales`."]
    assert offered.run("!!ls /mnt/data; cat /mnt/sales/a.csv").final[0]["text"] == "x\n1\n"


def test_network_is_allowed_used_and_switched_off(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nhello\n")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AGENT_KERNEL_NETWORK", f"tcp://{place}")
        monkeypatch.setenv("GOPROXY", f"http://{place}/go,direct")
        monkeypatch.setenv("GOSUMDB", "off")
        notebook = start()
        fetch = f"!!curl -sS -m 20 --noproxy '' -p -x http://127.0.0.1:3128 http://{place}/"
        offered = f"Allowed: no network. The operator offers: `tcp://{place}`."
        assert notebook.run("%network").plain == [offered]
        refused = notebook.run(fetch).final[0]["text"]
        assert refused.endswith(f"Network: {place} was refused: not in the allowlist.\n")
        assert "does not allow wider.example" in notebook.run("%network allow wider.example").error
        assert notebook.run(f"%network allow tcp://{place}").plain == [f"Allowed: `tcp://{place}`."]
        assert notebook.run(fetch).final[0]["text"] == "hello\n"
        shown = notebook.run("%network").plain
        assert shown[0].startswith(f"Allowed: `tcp://{place}`.")
        assert f"{place} 1 79 25 1: not in the allowlist" in " ".join(shown[1].split())
        assert notebook.run("%network off").plain == ["Allowed: no network."]
        assert "was refused" in notebook.run(fetch).final[0]["text"]
        assert "There is no preset `nosuch`" in notebook.run("%network allow go nosuch").error
        assert notebook.run("%network allow go").plain == [f"Allowed: `tcp://{place}`."]
        server.shutdown()


def test_reset_shell_keeps_files_and_tells_the_model(fresh: Notebook) -> None:
    assert fresh.run("%container --reset-shell").plain == [RESET]  # nothing has run yet
    fresh.run("!!COLOUR=blue; cd /tmp; echo kept > /mnt/data/kept.txt")
    assert fresh.run("%container --reset-shell").plain == [RESET]
    assert fresh.run("!!echo [$COLOUR] $PWD; cat kept.txt").final[0]["text"] == "[] /mnt/data\nkept\n"


RESET = "The shell was reset. Files and background processes are kept."
