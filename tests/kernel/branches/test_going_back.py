"""Going back in a real kernel and a real sandbox: files, shell, directory, processes and conversation."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.upstream import Played

pytestmark = pytest.mark.bubblewrap

CELLS = {
    "c1": "!echo 1 >a.txt; export STAGE=first",
    "c2": "!echo 2 >a.txt; export STAGE=second; cd /tmp; (exec sleep 600) & true",
    "c3": "%%python\nframe = 3",
    "c4": "look",
    "c5": "!touch /mnt/data/late.txt",
}
STATE = '!!echo "$STAGE $PWD"; cat /mnt/data/a.txt; ls /mnt/data'


def text_of(result: Result) -> str:
    return "".join(str(output.get("text", "")) for output in result.final)


def conversation(notebook: Notebook, upstream: Played) -> str:
    """What the model sees of it."""
    assert notebook.run("look").reply["status"] == "ok"
    return json.dumps(upstream.requests[-1]["messages"])


def edit_and_run_again(talking: Notebook, upstream: Played) -> None:
    """Run five cells, edit the second and run it again, open the branch, and go back in it."""
    for cell_id, source in CELLS.items():
        result = talking.run(source, cell_id=cell_id)
        assert result.reply["status"] == "ok"
        assert "back" not in json.dumps(result.plain), "a first run says nothing about it"
    again = talking.run('!echo "$STAGE $PWD"; echo anew >>a.txt', cell_id="c2", again=True)
    assert again.plain[0] == (
        "Went back to before this cell; the work of 3 later cells is kept as branch b2."
    )
    assert again.plain[1] == (
        "Background processes ended: `sleep 600`; variables of Python and R are lost: `frame`."
    )
    assert "first /mnt/data" in "\n".join(again.plain)
    assert text_of(talking.run(STATE)) == "first /mnt/data\n1\nanew\na.txt\n"
    known = conversation(talking, upstream)
    assert "echo 1 >a.txt" in known
    assert "anew" in known
    assert "STAGE=second" not in known
    assert "late.txt" not in known

    shown = talking.run("%history").plain[0]
    assert shown.count("b1 (in use)") == 1
    assert "touch /mnt/data/late.txt" in shown
    assert talking.run("%branch switch b2").plain == ["Now on branch b2, as it was left; branch b1 is kept."]
    assert text_of(talking.run(STATE)) == "second /tmp\n2\na.txt\nlate.txt\n"
    known = conversation(talking, upstream)
    assert "STAGE=second" in known
    assert "late.txt" in known
    assert "anew" not in known
    talking.run("!cd /; export STAGE=third", cell_id="c6")
    assert "is kept as branch b3." in talking.run("%rewind").plain[0]
    assert text_of(talking.run(STATE)) == "second /tmp\n2\na.txt\nlate.txt\n"


def test_a_cell_edited_and_run_again(talking: Notebook, upstream: Played) -> None:
    edit_and_run_again(talking, upstream)


def test_what_changed_since_before_a_cell(fresh: Notebook) -> None:
    fresh.run(r"!printf 'one\ntwo\n' >note.txt; echo gone >gone.txt; git init -q project", cell_id="c1")
    number = fresh.run("!sed -i s/two/2/ note.txt; rm gone.txt", cell_id="c2").reply["execution_count"]
    fresh.run("!echo new >new.txt", cell_id="c3")
    text = fresh.run(f"%diff --cell {number}").plain[0]
    assert text.splitlines()[0] == (
        f"`/mnt/data` since the moment before cell {number}: 3 files changed, 2 lines added, 2 removed."
    )
    assert "-two\n+2" in text
    assert "gone.txt" in text
    assert "project" not in text
    assert "changes.patch" in fresh.run(f"%diff --cell {number} --patch").plain[0]
    assert "+++ b/new.txt" in (fresh.folder / "changes.patch").read_text()
    later = fresh.run("!echo newest >new.txt; touch last.txt", cell_id="c4").reply["execution_count"]
    fresh.run("!echo other >note.txt", cell_id="c5")
    between = fresh.run(f"%diff --cell {number} --cell {later}").plain[0]
    assert between.splitlines()[0] == (
        f"`/mnt/data` since the moment before cell {number}, up to the moment before cell {later}: "
        "3 files changed, 2 lines added, 2 removed."
    )
    assert "-two\n+2" in between
    assert "last.txt" not in between
    back = fresh.run(f"%diff new.txt --cell {later} --cell {number} --patch back.patch").plain[0]
    assert back.startswith("Wrote `back.patch`")
    assert "-new\n" in (fresh.folder / "back.patch").read_text()
    assert "Nothing has changed" in fresh.run(f"%diff --cell {later} --cell {later}").plain[0]
    assert "%diff does not know" in fresh.run("%diff --cell 1 --cell 2 --cell 3").error
    assert fresh.run("%diff --cell 9999").error.startswith("InvalidRequest: No cell 9999 has run here.")
    told = "".join(fresh.run("!echo mine >note.txt", cell_id="c5", again=True).plain)
    branch = told.partition("is kept as branch ")[2].partition(".")[0]
    text = fresh.run(f"%diff --branch {branch}").plain[0]
    assert text.startswith(f"`/mnt/data` since the end of branch {branch}: 1 file changed, ")
    assert "-other\n+mine" in text
    assert "one of a commit, a cell and a branch" in fresh.run(f"%diff --branch {branch} --cell 1").error
    found = fresh.run("!!ls -A").final[0]["text"].split()
    assert found == ["last.txt", "new.txt", "note.txt", "project"], "nothing of the comparison is left"


def test_a_restarted_kernel_begins_anew(start: Callable[..., Notebook]) -> None:
    notebook = start()
    notebook.run("!touch one.txt", cell_id="c1")
    assert "Went back" in notebook.run("!touch ONE.txt", cell_id="c1", again=True).plain[0]
    notebook.restart()
    assert "back" not in json.dumps(notebook.run("!touch two.txt", cell_id="c1", again=True).plain)
    assert text_of(notebook.run("!!ls")) == "two.txt\n"
    for code in ("!touch three.txt", "!touch three.txt"):  # a console sends no ids
        assert "back" not in json.dumps(notebook.run(code).plain)
    notebook.run("%rerun continue\n!touch four.txt", cell_id="c1", again=True)
    assert text_of(notebook.run("!!ls")) == "four.txt\nthree.txt\ntwo.txt\n"


def test_an_interrupt_while_going_back(fresh: Notebook) -> None:
    for number in range(3):
        fresh.run(f"!touch {number}; export N={number}", cell_id=f"i{number}")
    sent = fresh.send("!touch again; sleep 60", cell_id="i1", again=True)
    fresh.collect(sent, until=lambda message: message["msg_type"] == "execute_input")
    fresh.interrupt()
    assert fresh.collect(sent).reply["ename"] == "KeyboardInterrupt"
    found = text_of(fresh.run("!!ls | tr '\\n' ' '; echo $N")).replace("again ", "")
    branches = "\n".join(fresh.run("%branch").plain)
    assert found == ("0 0\n" if "b2" in branches else "0 1 2 2\n"), branches
