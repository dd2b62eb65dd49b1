"""What a shell carries over to the next one beside variables: its options, and what depends on them."""

from __future__ import annotations

import pytest

from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = [SHARED, pytest.mark.slow_on_gvisor]


run = shared_run


async def test_options_come_back_on_and_off(run: Sandbox) -> None:
    await run("shopt -s nullglob extglob; shopt -u sourcepath interactive_comments")
    before = (await run("shopt")).stdout
    assert (await run("kill -9 $$")).code == 137
    assert (await run("shopt")).stdout == before


async def test_a_function_with_an_extended_pattern_comes_back(run: Sandbox) -> None:
    await run("shopt -s extglob\nf() { case $1 in @(a|b)*) echo yes;; esac; }\ncd /tmp")
    await run("kill -9 $$")
    assert (await run("f bcd; pwd")).stdout == b"yes\n/tmp\n"


async def test_functions_of_earlier_versions_do_not_come_back(run: Sandbox) -> None:
    """An earlier boxd defined editors as functions, and its checkpoints still have them."""
    await run('vi() { __boxd_editor vi "$@"; }; kept() { echo kept; }')
    await run("kill -9 $$")
    assert (await run("type -t vi kept; kept")).stdout in (b"function\nkept\n", b"file\nfunction\nkept\n")


async def test_functions_and_traps_come_back_once_there_are_some(run: Sandbox) -> None:
    for command in ("true", "f() { echo f; }", "unset -f f; g() { echo g; }", "unset -f g"):
        await run(command)
        await run("kill -9 $$")
        found = (await run("type -t f g")).stdout.split()
        assert len(found) == command.count("()")
    await run("trap 'echo bye' EXIT; f() { echo f; }")
    await run("kill -9 $$")
    assert (await run("f")).stdout == b"f\n"


async def test_what_runs_commands_cannot_be_overwritten_and_comes_back(run: Sandbox) -> None:
    assert b"readonly" in (await run("__boxd_end() { :; }")).stderr
    assert b"readonly" in (await run("unset -f __boxd_save")).stderr
    assert (await run("echo one")).stdout == b"one\n"
    await run("kill -9 $$")
    assert (await run("echo two; __boxd_end() { :; }")).stdout == b"two\n"
    assert (await run("echo three")).stdout == b"three\n"
