"""Every magic in a real kernel: what it does, and that bad input is told and loses nothing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_kernel.kernel.magics.table import MAGICS
from tests.kernel.client import Notebook
from tests.kernel.magics.asked import asked
from tests.kernel.notebooks import write_notebook
from tests.kernel.upstream import Played

pytestmark = pytest.mark.bubblewrap

Start = Callable[..., Notebook]

BAD: dict[str, list[tuple[str, str, str]]] = {
    "upload": [
        ("%upload", "%upload needs the path of a file.", "For example:"),
        ("%upload zz.none", "There is no file zz.none.", "Relative paths"),
        ("%upload 'open", "The arguments of %upload cannot be read", "Quote names"),
    ],
    "download": [
        ("%download", "%download needs a file name", "For example:"),
        ("%download kpt.txt", "There is no file kpt.txt", "Did you mean kept.txt?"),
        ("%download kept.txt --over", "does not know --over", "Use --force."),
    ],
    "files": [("%files nosuch", "There is no folder nosuch", "%files alone lists all")],
    "diff": [
        ("%diff nosuch", "%diff: there is no nosuch in the container.", "%files lists"),
        ("%diff /etc", "%diff compares what is in /mnt/data, and /etc is not.", "Use %diff [FOLDER]"),
        ("%diff ../x", "and ../x is not.", "Use %diff [FOLDER]"),
        ("%diff --since", "%diff does not know '--since'", "Use %diff [FOLDER]"),
        ("%diff --since main", "%diff: there is no repository.", "%files lists"),
        ("%diff a b", "%diff does not know 'b'", "Use %diff [FOLDER]"),
        ("%diff --patch /", "/ is not a plain file.", "Give another name."),
        ("%diff 'open", "The arguments of %diff cannot be read", "Use %diff [FOLDER]"),
    ],
    "skills": [
        ("%skills find x", "%skills does not know 'find x'", "Use %skills, %skills add PATH"),
        ("%skills add zz.none", "There is no file zz.none.", "Relative paths"),
        ("%skills remove nosuch", "This notebook does not use a skill nosuch.", "%skills lists the skills."),
        ("%skills 'open", "The arguments of %skills cannot be read", "Use %skills"),
    ],
    "mount": [
        ("%mount nosuch", "There is no folder 'nosuch' to mount. Available: none.", "AGENT_KERNEL_MOUNTS"),
        ("%mount --new", "%mount --new needs the name of a folder.", "For example:"),
        ("%mount --old x", "%mount does not know '--old x'", "For example:"),
    ],
    "network": [
        ("%network on", "%network does not know 'on'", "Use %network allow HOST"),
        ("%network allow", "%network allow names no host", "Name hosts or presets, for example: "),
        ("%network allow --new", "%network allow names no host", "Name hosts or presets, for example: "),
        (
            "%network allow --now a.example",
            "does not know 'allow --now a.example'",
            "Use %network allow HOST",
        ),
        ("%network off --new", "%network does not know 'off --new'", "Use %network allow HOST"),
        ("%network allow a.example", "network policy does not allow a.example", "It allows: no network."),
        ("%network allow GET a.example", "policy does not allow GET a.example", "It allows: no network."),
    ],
    "model": [("%model two words", "%model takes one name", "For example: %model openai/")],
    "instructions": [("%instructions --now", "does not know --now", "Use --clear.")],
    "%instructions": [("%%instructions --now\nText", "does not know --now", "Use --clear.")],
    "record": [("%record maybe", "%record does not know 'maybe'", "Use on, on PATH, off or status.")],
    "provenance": [("%provenance maybe", "%provenance does not know 'maybe'", "Use on or off.")],
    "budget": [
        ("%budget tokens", "'tokens' is not a limit.", "For example:"),
        ("%budget minutes=5", "There is no limit 'minutes'.", "tokens, seconds, tool_calls"),
        ("%budget tokens=-1", "tokens cannot be '-1'", "For example:"),
        ("%budget tool_calls=1.5", "tool_calls cannot be '1.5'", "a whole number above 0"),
        ("%budget seconds=nan", "seconds cannot be 'nan'", "a number above 0"),
        ("%budget 'open", "The budget cannot be read", "For example:"),
    ],
    "set": [
        ("%set", "%set needs a name.", "For example:"),
        ("%set a-b=1", "%set needs a name and a value", "For example:"),
        ("%set UID=5", "The shell does not allow setting UID.", "Choose another name."),
        (f"%set big={'x' * 70_000}", "big is too long", "Put it into a file"),
    ],
    "container": [
        ("%container --old", "does not know '--old'", "Use --reset-shell, --new"),
        ("%container --new cpus=two", "cpus must be a number, not 'two'", ""),
        ("%container --new pids=99 pids=98", "does not know 'pids=98'", "Use --reset-shell, --new"),
        ("%container --new volume=v", "no named volumes", "AGENT_KERNEL_VOLUMES"),
        ("%container memory=4g", "set when it is created", "%container --new memory=4g"),
        ("%container --new memory=3g", "memory_limit must be one of", "4g"),
    ],
    "usage": [("%usage all", "%usage takes no arguments.", "all cells")],
    "replay": [("%replay 999", "Cell [999] has no turn to replay", "a cell's number")],
    "approve": [
        ("%approve perhaps", "does not know 'perhaps'", "For example:"),
        ("%approve ask *", "`*` matches every command.", "%approve ask is for all"),
    ],
    "%bash": [
        ("%%bash --quiet\nls", "does not know '--quiet'", "Use --private."),
        ("%%bash", "%%bash has no script.", "on the lines below"),
    ],
    "%python": [
        ("%%python", "%%python has no code.", "on the lines below"),
        ("%%python --now\n1", "%%python does not know '--now'.", "on the lines below"),
    ],
    "%r": [
        ("%%r", "%%r has no code.", "on the lines below"),
        ("%%r --now\n1", "%%r does not know '--now'.", "on the lines below"),
    ],
    "python": [
        ("%python", "%python needs a word.", "%python restart ends"),
        ("%python 1 + 1", "%python does not know '1 + 1'.", "%%python runs the lines below"),
    ],
    "vars": [("%vars all", "%vars takes no arguments.", "%get NAME")],
    "get": [
        ("%get", "%get needs the name of a variable.", "%vars lists them."),
        ("%get x --tail 5", "%get does not know '--tail'.", "Use %get NAME"),
        ("%get x --head many", "%get does not know '--head'.", "Use %get NAME"),
        ("%get 'open", "The arguments of %get cannot be read", "Use %get NAME"),
    ],
    "put": [
        ("%put", "%put needs a file", "Use %put FILE [NAME]."),
        ("%put zz.parquet", "There is no file zz.parquet.", "Relative paths"),
    ],
    "rerun": [("%rerun never", "rerun cannot be 'never'.", "Use rewind, continue, ask.")],
    "history": [("%history all", "%history takes no arguments.", "%replay N")],
    "screen": [
        ("%screen up", "%screen does not know 'up'.", "Use %screen, %screen on"),
        ("%screen on --allow", "%screen does not know 'on --allow'.", "Use %screen, %screen on"),
        ("%screen on --allow all", "%screen cannot allow 'all'.", "It can allow form, credentials"),
        ("%screen 'open", "The arguments of %screen cannot be read", "Use %screen"),
    ],
    "mcp": [
        ("%mcp drop x", "%mcp does not know 'drop x'.", "Use %mcp, %mcp add NAME"),
        ("%mcp add db", "%mcp does not know 'add db'.", "Use %mcp, %mcp add NAME"),
        ("%mcp add 'a b' run", "'a b' cannot be the name of a server.", "letters, digits"),
        ("%mcp add db https://a.example/ x", "An address has no arguments.", "%mcp add NAME URL"),
        ("%mcp remove nothing", "There is no server nothing.", "%mcp lists the servers"),
        ("%mcp add 'open", "The arguments of %mcp cannot be read", "Use %mcp"),
    ],
    "docs": [
        ("%docs drop x", "%docs does not know 'drop'.", "Use %docs, %docs add FILE"),
        ("%docs add", "%docs add needs a file.", "papers/*.pdf"),
        ("%docs add absent.pdf", "There is no file absent.pdf.", "Relative paths"),
        ("%docs remove", "%docs remove needs a name.", "--all means all"),
        ("%docs remove nothing.md", "There is no document nothing.md.", "%docs lists the documents"),
        ("%docs remove --all", "There are no documents to remove.", "%docs add FILE"),
        ("%docs remove 'open", "The arguments of %docs cannot be read", "Use %docs"),
    ],
    "session": [
        ("%session stay", "%session does not know 'stay'.", "Use keep"),
        ("%session list all", "%session does not know 'list all'.", "Use keep"),
        ("%session resume", "Name the session: %session resume NAME.", "%session list"),
        ("%session resume none", "No kept session has the name or id 'none'.", "%session list"),
        ("%session forget", "This notebook is not kept.", "%session list"),
        ("%session keep " + "x" * 300, "name must be a string of at most 256 characters", ""),
    ],
    "rewind": [
        ("%rewind 999", "No cell 999 has run here.", "%history lists the cells."),
        ("%rewind 1 2", "%rewind does not know '1 2'.", "Use %rewind [N]"),
        ("%rewind --now", "%rewind does not know '--now'.", "Use %rewind [N]"),
        ("%rewind", "The notebook cannot go back: no point was kept", "%rerun"),
    ],
    "branch": [
        ("%branch b2", "%branch does not know 'b2'.", "Use %branch, %branch switch NAME"),
        ("%branch switch b999", "There is no branch b999.", "Branches: none besides"),
        ("%branch switch b1", "b1 is the branch in use.", "%branch lists all."),
        ("%branch name b1", "There is a branch b1 already.", "%branch lists all."),
        ("%branch name a/b", "The name of a branch has letters", "%branch name first-try"),
        ("%branch delete b1", "b1 is the branch in use.", "%branch lists all."),
    ],
    "help": [("%help uplod", "There is no magic %uplod.", "Did you mean %upload?")],
}


def test_every_magic_has_a_test_for_its_bad_input() -> None:
    assert set(BAD) == set(MAGICS)


@pytest.fixture(scope="module")
def kept(shared: Notebook) -> Iterator[Notebook]:
    """The shared kernel, with a variable, a file and a turn that nothing may cost."""
    shared.run("!!find /mnt/data -mindepth 1 -delete")  # what earlier tests have made
    shared.run("remember")
    yield shared
    shared.run("!!cd /mnt/data")  # that turn changes the directory


@pytest.mark.parametrize(("line", "what", "hint"), [case for cases in BAD.values() for case in cases])
def test_bad_input_is_told_and_loses_nothing(kept: Notebook, line: str, what: str, hint: str) -> None:
    kept.run("!!export COLOUR=blue; echo kept >/mnt/data/kept.txt")
    result = kept.run(line)
    assert result.kinds == ["error"]
    assert what in result.error
    assert hint in result.error
    assert kept.run("!!echo $COLOUR; cat /mnt/data/kept.txt").final[0]["text"] == "blue\nkept\n"


def test_every_magic_has_help_in_three_ways(shared: Notebook) -> None:
    outputs = shared.run("%help").final[0]["data"]
    listed = outputs["text/plain"]
    for name, magic in MAGICS.items():
        assert magic.usage in listed
        assert magic.summary in " ".join(listed.split())
        assert html.escape(magic.summary) in outputs["text/html"]
        assert magic.summary.split(";")[0] in outputs["text/markdown"]
        assert shared.run(f"%help %{name}").plain == [magic.help]
        asked = shared.client.inspect(f"%{name} ", cursor_pos=3)
        assert shared.reply(asked)["data"] == {"text/plain": magic.help}
        paged = shared.run(f"%{name}?")
        assert paged.messages == []
        assert [each["data"]["text/plain"] for each in paged.reply["payload"]] == [magic.help]
    assert max(map(len, listed.split("\n"))) <= 79, "a console has 80 columns"
    assert "…" not in listed


# -- shells ------------------------------------------------------------------------------------------------


def test_bash_runs_a_whole_cell_in_the_agents_shell(fresh: Notebook) -> None:
    script = (
        "%%bash\nexport COLOUR=green\n\ncd /tmp\nfor n in 1 2; do\n  echo $n\ndone > /mnt/data/kept.txt\n"
    )
    assert fresh.run(script).reply["status"] == "ok"
    assert "green in /tmp\n1\n2" in fresh.run("what was it").plain[-2]


def test_private_commands_are_streams_unknown_to_the_model(fresh: Notebook) -> None:
    result = fresh.run("!!echo out; echo err >&2; printf '\\033]0;x\\007'; export COLOUR=red; (exit 3)")
    streams = [(out["name"], out["text"]) for out in result.final if "name" in out]
    assert streams == [("stdout", "out\n"), ("stderr", "err\n")]
    assert result.plain == ["[exit 3]"]
    private = fresh.run("%%bash --private\ncd /tmp\necho kept > /mnt/data/kept.txt\n")
    assert private.reply["status"] == "ok"
    assert fresh.run("what was it").plain[-1] == "It was red."
    number = result.reply["execution_count"]
    assert number > 0
    assert f"[{number}]" not in fresh.run("%replay 999").error
    assert f"Cell [{number}] has no turn to replay" in fresh.run(f"%replay {number}").error


def test_an_interrupt_ends_a_private_command(shared: Notebook) -> None:
    sent = shared.send("!!echo begun; sleep 600", cell_id="c")
    shared.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    shared.interrupt()
    assert shared.collect(sent).reply["ename"] == "KeyboardInterrupt"
    assert shared.run("!!pgrep -c sleep").final[0]["text"] == "0\n"


# -- settings ----------------------------------------------------------------------------------------------


def test_the_model_is_switched_in_mid_notebook(shared: Notebook) -> None:
    own = re.search(r"`(.*)`", shared.run("%model").plain[0])
    assert own
    assert "The runtime does not list it" in shared.run("%model nosuch/model").plain[0]
    assert "nosuch/model" in shared.run("say hello").error
    shared.run("%model --default")
    assert shared.run("say hello").plain == ["Hello, **world**."]


def test_a_budget_is_said_set_and_cleared(shared: Notebook) -> None:
    assert shared.run("%budget tokens=50_000 seconds=2.5").plain == [
        "Each turn may now use 50,000 tokens, 2.5 seconds."
    ]
    assert shared.run("%budget").plain == ["Each turn may use 50,000 tokens, 2.5 seconds."]
    shared.run("%budget --clear")
    assert shared.run("%budget").plain == ["No limit is set for a turn."]


def test_a_budget_ends_a_turn(shared: Notebook) -> None:
    shared.run("%budget tool_calls=1")
    result = shared.run("fail")  # which runs two
    assert result.reply["status"] == "ok"
    assert result.plain[-1] == "This turn ended here: its limit of tool calls was reached."
    shared.run("%budget --clear")
    assert shared.run("say hello").plain == ["Hello, **world**."]


def test_figures_are_linked_unless_it_is_switched_off(shared: Notebook) -> None:
    linked = shared.run("weigh the penguins")
    answer = "They weigh **4,201.8[a] g**, all 344[b] of 345[?]."
    assert linked.plain[-1].partition("\n")[0] == answer
    whole = [output["data"]["text/html"] for output in linked.final]
    targets = re.findall(r'<div id="([^"]+)"', "".join(whole))
    assert len(targets) == 2
    assert re.findall('href="#([^"]+)" title', whole[-1]) == [targets[0]] * 2
    assert shared.run("%replay").plain[-1].partition("\n")[0] == answer

    off = shared.run("%provenance off\nweigh the penguins")
    assert off.plain[0] == "The figures of answers are shown as they are."
    assert off.plain[-1] == "They weigh **4,201.8 g**, all 344 of 345."
    assert shared.run("%provenance on").plain == [
        "The figures of answers are linked to the outputs of their turn."
    ]


def test_instructions_are_told_beside_the_kernels_own(talking: Notebook, upstream: Played) -> None:
    assert talking.run("%instructions").plain == ["This notebook has no instructions."]
    talking.run("%%instructions\nAnswer in German.\nBriefly.")
    assert talking.run("%instructions").plain == ["Answer in German.\nBriefly."]
    told = asked(talking, upstream, "look")
    assert "Answer in German." in told
    assert "You are working in a Jupyter notebook" in told
    talking.run("%instructions --clear")
    assert "Answer in German." not in asked(talking, upstream, "look")


def test_metadata_of_notebook_and_cell(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "told.ipynb"
    write_notebook(path, [])
    saved = json.loads(path.read_text())
    ours = {"budget": {"tool_calls": 7}, "model": "nosuch/of-notebook", "provenance": False}
    saved["metadata"]["agent_kernel"] = ours
    path.write_text(json.dumps(saved))
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    notebook = start()
    assert "there is no jpserver-" in notebook.run("%budget").plain[0]  # no server started this kernel
    assert notebook.run("%budget").plain == ["Each turn may use 7 tool calls."]
    assert notebook.run("%provenance").plain == ["The figures of answers are shown as they are."]
    assert "nosuch/of-notebook" in notebook.run("say hello").error
    for metadata, words in [
        ({"model": "nosuch/of-cell"}, "nosuch/of-cell"),
        ({"budget": {"tool_calls": 0}}, "tool_calls cannot be 0"),
        ({"modle": "x"}, "has 'modle'"),
        ({"provenance": "off"}, "provenance` in the metadata of this cell must be true or false"),
        ([], "must be an object"),
    ]:
        content = {"code": "say hello", "silent": False, "store_history": True, "allow_stdin": False}
        message = notebook.client.session.msg("execute_request", content, metadata={"agent_kernel": metadata})
        notebook.client.shell_channel.send(message)
        result = notebook.collect(str(message["header"]["msg_id"]))
        assert words in result.error


def test_a_parameter_is_a_shell_variable(shared: Notebook) -> None:
    assert shared.run("%set region = north east").plain == ['`region` = `"north east"`']
    assert shared.run("%set years=[2024, 2025]").plain == ["`years` = `[2024, 2025]`"]
    assert shared.run("%set quote='; touch /mnt/data/made; '").reply["status"] == "ok"
    said = shared.run('!!echo "$region|$years|$quote"; ls /mnt/data | grep -x made')
    assert said.final[0]["text"] == "north east|[2024, 2025]|'; touch /mnt/data/made; '\n"


# -- turns -------------------------------------------------------------------------------------------------


def test_replay_shows_a_cells_outputs_again(fresh: Notebook) -> None:
    drawn = fresh.run("draw and save")
    original = [{key: value for key, value in output.items() if key != "metadata"} for output in drawn.final]
    number = drawn.reply["execution_count"]
    fresh.run("say hello")
    for line in (f"%replay {number}", f"%replay [{number}]"):
        again = [
            {key: value for key, value in output.items() if key != "metadata"}
            for output in fresh.run(line).final
        ]
        assert again == original
    assert fresh.run("%replay").plain == ["Hello, **world**."]
    assert fresh.run("%replay last").plain == ["Hello, **world**."]


def test_replay_of_an_interrupted_turn(fresh: Notebook) -> None:
    sent = fresh.send("wait for ever", cell_id="c")
    fresh.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    fresh.interrupt()
    fresh.collect(sent)
    again = fresh.run("%replay").plain
    assert again[-2:] == ["begun\n[stopped]", "This turn was stopped here. Work done so far is kept."]


def test_usage_is_counted_by_cell(notebook: Notebook) -> None:
    assert notebook.run("%usage").plain == ["No cell has asked a model yet."]
    notebook.run("say hello")
    notebook.run("!ls")
    lines = notebook.run("%usage").plain[0].split("\n")
    assert lines[0].startswith("No price is known for `scripted/")
    assert [line.split()[0] for line in lines if line and line.split()[0] in ("2", "3", "all")] == [
        "2",
        "all",
    ]
