"""Programs that wait for a person refuse at once; in scripts, pipes and terminals the real ones run."""

from __future__ import annotations

import pytest

from tests.sandboxes.inside import Sandbox
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = [SHARED, pytest.mark.slow_on_gvisor]


run = shared_run


LAUNCHED = ["command vi", "env vim x", "sh -c 'vi x'", "echo x | xargs vim -R", "exec view", "vimdiff a b"]
SCREENS = ["watch date", "watch -d -n 1 'date -u'", "sh -c 'watch -t -- date -e'", "htop", "command mc"]
FAKE = """
mkdir -p /tmp/real && printf '#!/bin/sh\\necho real "$@"\\n' >/tmp/real/vi && chmod +x /tmp/real/vi
for name in vim emacs watch htop; do cp /tmp/real/vi /tmp/real/$name; done
PATH=${PATH%%:*}:/tmp/real:$PATH
"""
SCRIPTED = [
    "vim -es +q x",
    "vi -c q x",
    "vim --version",
    "emacs --batch -l x",
    "echo :q | vi x",
    "vi x <<< :q",
    "watch -g date",
    "watch -n 1 --errexit false",
    "watch -tg date",
    "timeout 5 watch date",
    "watch date & wait",
    "nohup sh -c 'watch date &'; sleep 0.1",
    "htop --version",
    "script -qc 'vi x' /dev/null",
]


@pytest.mark.parametrize("commands", [LAUNCHED, SCREENS], ids=["editors", "screens"])
async def test_interactive_program_refuses_at_once(run: Sandbox, commands: list[str]) -> None:
    for command in commands:
        done = await run(command, timeout=10)
        assert done.code in (1, 123), command
        assert done.stderr.count(b"needs a terminal, and there is none here. ") == 1, command
        assert done.stderr.count(b"\n") == 1, command
    assert (await run("exit 3")).code == 3
    assert (await run("declare -F | grep -v __boxd; type -t vi")).stdout == b"file\n"  # in the next shell
    assert (await run("cat >script <<< '#!/bin/sh\nvi $1'; chmod +x script; ./script x", 10)).code == 1


async def test_scripted_use_runs_the_real_program(run: Sandbox) -> None:
    await run(FAKE)
    for command in SCRIPTED:
        done = await run(command, timeout=10)
        assert done.stdout.startswith(b"real"), (command, done)
    done = await run("rm /tmp/real/*; nvim --headless +q", timeout=10)
    assert (done.code, done.stderr) == (127, b"nvim: command not found\n")


async def test_pagers_print_all_and_end(run: Sandbox) -> None:
    await run(
        "seq 2000 >lines; cp lines more; git init -q . && git add lines && git -c user.name=a "
        "-c user.email=a@b commit -qm first"
    )
    for command in ["less lines", "more <lines", "env less lines | cat", "$PAGER lines", "less <lines"]:
        assert (await run(command, timeout=10)).stdout.split() == [b"%d" % n for n in range(1, 2001)], command
    assert (await run("git log -p", timeout=10)).stdout.count(b"\n") > 2000
    assert (await run("top -b -n 1 | head -n 1; sh -c top", timeout=10)).stdout.startswith(b"top")
