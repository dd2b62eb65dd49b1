"""A real kernel over Jupyter's protocol: interrupts, restarts, shutdown, magics, and what can go wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from tests.kernel.client import TIMEOUT, Notebook, Result, without_ids
from tests.kernel.sandboxes import container_of, kill_sandbox, processes_of

pytestmark = pytest.mark.bubblewrap

Start = Callable[..., Notebook]


def interrupt_when(notebook: Notebook, code: str, seen: str, *, times: int = 1, cell_id: str = "c") -> Result:
    """Run a cell live, interrupt it once `seen` has been streamed, and give all of its outputs."""
    sent = notebook.send(code, cell_id=cell_id)
    first = notebook.collect(sent, until=lambda message: seen in json.dumps(message["content"]))
    notebook.interrupt(times)
    rest = notebook.collect(sent)
    return Result(rest.reply, first.messages + rest.messages)


def test_state_stays_from_cell_to_cell(fresh: Notebook) -> None:
    assert fresh.run("remember").reply["status"] == "ok"
    result = fresh.run("what was it")
    assert result.plain[-1] == "It was blue."
    assert "blue in /tmp\nkept" in result.plain[-2]


def test_a_shell_line_joins_the_chain_and_the_same_shell(fresh: Notebook) -> None:
    fresh.run("!export COLOUR=green; cd /tmp; echo kept > /mnt/data/kept.txt")
    assert fresh.run("what was it").plain[-1] == "It was green."
    result = fresh.run("!echo $COLOUR\n!false\nsay hello")
    assert result.plain == ["$ echo $COLOUR", "green", "$ false", "[exit 1]", "Hello, **world**."]


def test_the_scripted_notice_comes_first_and_once(start: Start) -> None:
    notebook = start("agent-demo")
    result = notebook.run("something that no script knows")
    assert result.plain[0].startswith("**Demo mode: the answers are pre-written")
    for variable in ("MODEL", "UPSTREAM_URL", "UPSTREAM_KEY"):
        assert f"AGENT_KERNEL_{variable}" in result.plain[0]
    assert result.kinds[-1] == "error"
    assert "It knows:" in result.reply["evalue"]
    assert notebook.run("something else").kinds == ["error"]


def test_no_notice_where_a_script_was_asked_for(shared: Notebook) -> None:
    assert shared.run("say hello").plain == ["Hello, **world**."]


def test_a_prompt_outside_the_script_says_what_it_knows(shared: Notebook) -> None:
    result = shared.run("sing")
    assert result.kinds == ["error"]
    assert "say hello" in result.error
    assert result.messages[0]["content"]["traceback"] == result.reply["traceback"]
    assert not any("File " in line for line in result.reply["traceback"])


def test_a_turn_that_fails_midway_keeps_its_outputs(shared: Notebook) -> None:
    result = shared.run("what is in people.csv")  # which was not uploaded
    assert result.reply["status"] == "error"
    assert result.kinds[-1] == "error"
    assert any("head -n 2 people.csv" in text for text in result.plain)
    assert shared.run("say hello").reply["status"] == "ok"


def test_live_and_batch_end_with_the_same_outputs(fresh: Notebook) -> None:
    (fresh.folder / "people.csv").write_text("name\nAda\n")
    cells = [
        "%upload people.csv\nwhat is in people.csv",
        "draw and save",
        "!ls",
        "fail",
        "be hostile",
        "sing",
    ]
    live = [without_ids(without_metadata(fresh.run(cell, cell_id="c").final)) for cell in cells]
    assert fresh.run("%container --new").reply["status"] == "ok"
    batch = [without_ids(without_metadata(fresh.run(cell).final)) for cell in cells]
    assert live == batch


def without_metadata(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in output.items() if key != "metadata"} for output in outputs]


def test_a_live_cell_streams_and_leaves_no_widget(shared: Notebook) -> None:
    result = shared.run("work slowly", cell_id="c")
    assert result.kinds.count("comm_open") == 2  # the widget and its layout
    assert result.kinds.count("comm_close") == 2
    deltas = [
        text
        for message in result.messages
        if message["msg_type"] == "comm_msg"
        for _, part, _, text in message["content"]["data"].get("content", {}).get("deltas", [])
        if part == "stdout.0"
    ]
    assert "".join(deltas) == "".join(f"step {n} of 6\n" for n in range(1, 7))
    assert len(deltas) > 2
    assert "application/vnd.jupyter.widget-view+json" not in json.dumps(result.final)


def test_files_of_a_turn_are_shown_in_order(fresh: Notebook) -> None:
    result = fresh.run("draw and save")
    assert [sorted(output["data"]) for output in result.final[-3:]] == [
        ["image/png", "text/plain"],
        ["text/html", "text/markdown", "text/plain"],
        ["text/html", "text/markdown", "text/plain"],
    ]
    assert result.plain[-3] == "[picture: square.png]"
    assert result.plain[-2].startswith("`table.csv`: 10 rows × 2 columns")
    assert result.plain[-1] == "Wrote `note.txt` (1.5 kB); `%download NAME` fetches a file."
    assert fresh.run("say hello").plain == ["Hello, **world**."]


# -- interrupts ---------------------------------------------------------------------------------------------


def test_an_interrupt_in_a_command_keeps_what_was_printed(shared: Notebook) -> None:
    result = interrupt_when(shared, "wait for ever", "begun\\n")
    assert result.error.startswith("KeyboardInterrupt: ")
    assert any("begun" in text for text in result.plain)
    assert not any("Never said" in text for text in result.plain)
    assert shared.run("!pgrep -c sleep").plain[-1].startswith("0")


def test_the_chain_goes_on_after_an_interrupt(fresh: Notebook) -> None:
    fresh.run("remember")
    interrupt_when(fresh, "wait for ever", "begun\\n")
    assert fresh.run("what was it").plain[-1] == "It was blue."


def test_five_interrupts_in_a_row(shared: Notebook) -> None:
    result = interrupt_when(shared, "wait for ever", "begun\\n", times=5)
    assert result.reply["ename"] == "KeyboardInterrupt"
    assert shared.run("say hello").plain == ["Hello, **world**."]


def test_an_interrupt_at_once_and_one_with_nothing_to_interrupt(shared: Notebook) -> None:
    shared.interrupt()
    sent = shared.send("wait for ever")
    shared.collect(sent, until=lambda message: message["msg_type"] == "execute_input")
    shared.interrupt()
    assert shared.collect(sent).reply["ename"] == "KeyboardInterrupt"
    assert shared.run("say hello").plain == ["Hello, **world**."]


def test_cells_behind_an_interrupted_one_are_not_run(shared: Notebook) -> None:
    sent = shared.send("wait for ever", cell_id="a")
    behind = shared.send("say hello", cell_id="b")
    shared.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    shared.interrupt()
    assert shared.reply(sent)["status"] == "error"
    assert shared.reply(behind)["status"] == "aborted"


def test_the_stop_button_stops(shared: Notebook) -> None:
    sent = shared.send("wait for ever", cell_id="c")
    first = shared.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    widget = next(m["content"]["comm_id"] for m in reversed(first.messages) if m["msg_type"] == "comm_open")
    content = {"comm_id": widget, "data": {"method": "custom", "content": {"type": "stop"}}}
    shared.client.shell_channel.send(shared.client.session.msg("comm_msg", content))
    assert shared.collect(sent).reply["ename"] == "KeyboardInterrupt"


def test_other_messages_are_answered_while_a_cell_runs(shared: Notebook) -> None:
    sent = shared.send("work slowly", cell_id="c")
    shared.collect(sent, until=lambda message: "step 1" in json.dumps(message["content"]))
    asked = [shared.client.comm_info(), shared.client.kernel_info(), shared.client.complete("%up")]
    answered: set[str] = set()
    while len(answered) < 3:
        owner = shared.client.get_shell_msg(timeout=TIMEOUT)["parent_header"]["msg_id"]
        assert owner != sent, "the cell ended first"
        answered |= {owner} & set(asked)
    assert answered == set(asked)
    result = shared.collect(sent)
    assert result.reply["status"] == "ok"
    assert result.plain[-1] == "Done at last."
    owners = {message["parent_header"]["msg_id"] for message in result.messages}
    assert owners == {sent}


def test_the_kernel_is_said_to_be_busy_until_the_cell_ends(shared: Notebook) -> None:
    sent = shared.send("work slowly", cell_id="c")
    shared.collect(sent, until=lambda message: "step 1" in json.dumps(message["content"]))
    asked = shared.client.comm_info()
    states: list[tuple[str, str]] = []
    while ("cell", "idle") not in states:
        message = shared.message()
        if message["msg_type"] == "status":
            owner = {sent: "cell", asked: "comm_info"}.get(message["parent_header"].get("msg_id"), "")
            states.append((owner, message["content"]["execution_state"]))
    assert states == [("comm_info", "busy"), ("comm_info", "idle"), ("cell", "busy"), ("cell", "idle")]


# -- the life of kernel and container -----------------------------------------------------------------------


def test_shutdown_removes_the_container(start: Start, sandboxes: Callable[[], list[str]]) -> None:
    before = set(sandboxes())
    notebook = start()
    assert set(sandboxes()) <= before  # none is made before a cell needs it
    notebook.run("remember")
    assert len(set(sandboxes()) - before) == 1
    notebook.manager.shutdown_kernel()
    assert set(sandboxes()) <= before  # a sandbox of an earlier test may have ended too


def test_shutdown_in_the_middle_of_a_command(start: Start, sandboxes: Callable[[], list[str]]) -> None:
    before = set(sandboxes())
    notebook = start()
    sent = notebook.send("wait for ever", cell_id="c")
    notebook.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    notebook.manager.shutdown_kernel()
    assert set(sandboxes()) <= before  # a sandbox of an earlier test may have ended too


def test_a_terminated_kernel_removes_its_container(start: Start, sandboxes: Callable[[], list[str]]) -> None:
    before = set(sandboxes())
    notebook = start()
    sent = notebook.send("wait for ever", cell_id="c")
    notebook.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    provisioner = notebook.manager.provisioner
    assert isinstance(provisioner, LocalProvisioner)
    assert provisioner.process is not None
    provisioner.process.terminate()
    assert provisioner.process.wait(60) == 0
    assert set(sandboxes()) <= before


def test_a_killed_kernel_leaves_no_process_after_the_lease(start: Start) -> None:
    notebook = start("agent-short")
    notebook.run("remember")
    container_id = container_of(notebook)
    notebook.run("!(sleep 500 &) >/dev/null 2>&1")
    inside = processes_of(container_id)
    assert any("sleep" in process.name() for process in inside)
    notebook.manager.shutdown_kernel(now=True)  # SIGKILL
    _, alive = psutil.wait_procs(inside, timeout=20)
    # One that has ended may wait for its new parent to take note; that parent is not ours.
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_restart_starts_afresh(fresh: Notebook, sandboxes: Callable[[], list[str]]) -> None:
    fresh.run("remember")
    before = set(sandboxes())
    fresh.manager.restart_kernel(now=False)
    fresh.client.wait_for_ready(timeout=TIMEOUT)
    result = fresh.run("!echo [$COLOUR]; ls")
    assert result.plain[-1] == "[]"
    assert len(set(sandboxes()) - before) == 1


def test_a_container_killed_from_outside(fresh: Notebook) -> None:
    fresh.run("remember")
    fresh.run("!echo kept >/mnt/data/file")
    container_id = container_of(fresh)
    kill_sandbox(container_id)
    result = fresh.run("!cat /mnt/data/file; echo [$COLOUR]")
    assert result.reply["status"] == "ok"
    assert result.plain[0].startswith("The container was ended from outside and was restored")
    assert result.plain[-1] == "kept\n[]"
    assert fresh.run("say hello").plain == ["Hello, **world**."]  # it is said once
    assert container_of(fresh) == container_id


def test_a_container_killed_in_the_middle_of_a_command(fresh: Notebook) -> None:
    fresh.run("remember")
    container_id = container_of(fresh)
    sent = fresh.send("wait for ever", cell_id="c")
    fresh.collect(sent, until=lambda message: "begun\\n" in json.dumps(message["content"]))
    kill_sandbox(container_id)
    result = fresh.collect(sent)
    assert result.reply["status"] == "error"
    assert container_id in result.reply["evalue"]
    assert any("begun" in text for text in result.plain)
    following = fresh.run("say hello")
    assert sum("ended from outside and was restored" in text for text in following.plain) == 1
    assert "Hello, **world**." in following.plain
    assert container_of(fresh) == container_id


# -- magics -----------------------------------------------------------------------------------------------


def test_an_unknown_magic_is_told_before_anything_runs(fresh: Notebook) -> None:
    result = fresh.run("!touch made\n%uplod x\nsay hello")
    assert result.kinds == ["error"]
    assert "Did you mean %upload?" in result.error
    assert fresh.run("%files").plain == ["There are no files in `/mnt/data`."]


def test_uploads(fresh: Notebook) -> None:
    (fresh.folder / "data").mkdir()
    (fresh.folder / "data" / "a b.csv").write_bytes(b"x\n1\n")
    (fresh.folder / "data" / "c.csv").write_bytes(os.urandom(3_000_000))
    result = fresh.run("%upload data/*.csv")
    places = [text.split(" to ")[1].split(";")[0] for text in result.plain]
    assert [place.split("`")[1] for place in places] == ["/mnt/data/a b.csv", "/mnt/data/c.csv"]
    assert fresh.run("!stat -c %s *.csv").plain[-1] == "4\n3000000"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "%upload needs the path of a file."),
        ("missing.csv", "There is no file missing.csv."),
        ("present.csv missing.csv", "There is no file missing.csv."),
        ("*.parquet", "No file matches *.parquet"),
        ("empty", "There is nothing to upload in empty"),
        ("fifo", "is not a plain file"),
        ("'unclosed", "cannot be read"),
        ("present.csv ./present.csv", "one would replace the other"),
    ],
)
def test_uploads_that_cannot_be(shared: Notebook, arguments: str, words: str) -> None:
    (shared.folder / "present.csv").write_text("x")
    if not (shared.folder / "fifo").exists():
        os.mkfifo(shared.folder / "fifo")
        (shared.folder / "empty").mkdir()
    result = shared.run(f"%upload {arguments}")
    assert result.kinds == ["error"]
    assert words in result.error
    assert "present.csv" not in shared.run("%files").plain[0]


def test_a_two_gigabyte_upload_is_refused_and_loses_nothing(fresh: Notebook) -> None:
    fresh.run("remember")
    with (fresh.folder / "huge.csv").open("wb") as file:
        file.truncate(2 << 30)
    provisioner: Any = fresh.manager.provisioner
    kernel = psutil.Process(provisioner.pid)
    before = kernel.io_counters().read_chars
    result = fresh.run("%upload huge.csv")
    assert kernel.io_counters().read_chars - before < 100 << 20  # it looked at the size only
    assert result.kinds == ["error"]
    assert "huge.csv has 2.1 GB; the limit for one file is 536.9 MB." in result.error
    assert fresh.run("what was it").plain[-1] == "It was blue."


def test_start_and_upload_are_steps_of_the_live_view(notebook: Notebook) -> None:
    (notebook.folder / "sales.csv").write_text("a,b\n1,2\n")
    result = notebook.run("@sales.csv say hello", cell_id="c")
    told = [message["content"]["data"] for message in result.messages if message["msg_type"] == "comm_msg"]
    steps = [data["content"]["step"] for data in told if "step" in data.get("content", {})]
    assert steps[:3] == ["Starting the container", "Uploading sales.csv", ""]
    assert result.plain[0].startswith("Uploaded `sales.csv` (8 bytes) to `/mnt/data/sales.csv`")
    assert not any("Starting" in text or "Uploading" in text for text in result.plain)


def test_model_and_container_and_help(notebook: Notebook) -> None:
    assert notebook.run("%container").plain == [
        "There is no container yet; the first prompt, upload or command creates one."
    ]
    reset = "The shell was reset. Files and background processes are kept."
    assert notebook.run("%container --reset-shell").plain == [reset]
    assert "%upload PATH ..." in notebook.run("%help").plain[0]
    assert "Relative paths" in notebook.run("%help upload").plain[0]
    assert "agent_kernel/shell" in notebook.run("%model").plain[0]
    notebook.run("%model nosuch/model")
    result = notebook.run("say hello")
    assert result.kinds == ["error"]
    assert "nosuch/model" in result.error
    assert "status     running" in notebook.run("%container").plain[0]


def test_a_silent_request_runs_nothing(shared: Notebook) -> None:
    sent = shared.client.execute("say hello", silent=True)
    result = shared.collect(sent)
    assert result.reply["status"] == "ok"
    assert result.messages == []
