"""Failures that other sandboxes have shipped with, and the tests that keep them out of this one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

KNOWN = {
    "exit, exec, set -e, set -u or a trap ends or poisons the session": (
        "test_what_ends_a_shell_ends_only_the_command",
        "test_options_last_for_one_command",
        "test_an_exit_trap_runs_when_its_command_ends",
    ),
    "an unterminated quote or heredoc waits for ever": ("test_unterminated_text_does_not_wait",),
    "a valid heredoc, a large one too, hangs": ("test_heredocs",),
    "text in the output is taken for a sentinel; prompts and pagers": (
        "test_output_that_looks_like_ours_prompts_and_pagers",
    ),
    "a background process keeps the call open": ("test_a_background_process_does_not_hold_the_command",),
    "a timeout leaves children, loses output, or fires late": (
        "test_a_timeout_kills_the_tree_and_keeps_the_output",
        "test_stubborn_commands_end_too",
    ),
    "the client's end leaves the process running": ("test_closing_the_generator_kills_the_command",),
    "kill %1 without job control": ("test_a_background_process_does_not_hold_the_command",),
    "a stream that ends is taken for exit code 0": (
        "test_a_sandbox_that_dies_in_mid_command_gives_no_exit_code",
    ),
    "a burst larger than a frame closes the stream": ("test_a_burst_larger_than_a_frame",),
    "cut UTF-8, NUL, binary bytes, an invented or lost newline, one endless line": (
        "test_both_outputs_arrive_as_they_were_written",
        "test_no_newline_is_added_or_lost",
        "test_a_long_line",
    ),
    "output fills memory or disk": (
        "test_a_slow_reader_slows_the_command",
        "test_endless_output_can_be_stopped",
        "test_logs_are_bounded_together",
    ),
    "a full disk gives silent, empty output": ("test_a_full_disk_is_said_in_words",),
    "zombies under process 1, a reaper that races the waiter": (
        "test_orphans_are_reaped_and_no_exit_code_is_lost",
    ),
    "a signal to a recycled pid": ("test_interrupting_what_has_ended_harms_nothing",),
    "the working directory is removed under the shell": ("test_the_working_directory_may_vanish",),
    "a failed start leaves something that no sweep finds": ("test_a_start_cut_short_leaves_nothing",),
    "nobody can come back after a silence": (
        "test_a_new_host_finds_the_shell_as_it_was",
        "test_command_survives_its_host_and_is_read_from_an_offset",
    ),
    "an environment of a megabyte": ("test_a_megabyte_of_environment",),
    "a used sandbox is handed to another session": ("test_two_sandboxes_share_nothing",),
}


def test_there_are_twenty() -> None:
    assert len(KNOWN) == 20


@pytest.mark.parametrize("failure", KNOWN)
def test_each_has_its_tests_in_the_contract(failure: str) -> None:
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^async def (test_\w+)", text, re.MULTILINE)}
    assert set(KNOWN[failure]) <= there
