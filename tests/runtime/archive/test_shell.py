"""The state of a shell in another sandbox."""

from __future__ import annotations

import pytest

from agent_kernel.runtime.archive.shell import restore_shell, save_shell
from agent_kernel.sandboxes.base import Backend
from tests.sandboxes.inside import started

SET = r"""
plain=1; export exported=$'a\nb"c$\\'; declare -a list=(x 'y z' ''); declare -A map=([k]="v w")
declare -r fixed=yes; declare -i number=7; greet() { echo "hello $1"; }; alias ll='ls -l'
export PATH=$PATH:/mnt/data/bin; unset LANG; shopt -s nullglob extglob; umask 027; mkdir -p deep; cd deep
entry=mine; name=theirs; trap 'echo bye' EXIT
"""
ASKED = r"""
echo "$plain|$exported|${list[1]}|${#list[@]}|${map[k]}|$fixed|$number|$(greet you)|$entry|$name|$PWD"
bash -c 'echo "$exported"'; alias ll; shopt nullglob extglob; umask; echo ${PATH##*:}; type -P ls; echo $HOME
"""


@pytest.mark.docker
@pytest.mark.bubblewrap
@pytest.mark.parametrize("backwards", [False, True], ids=["from_bubblewrap", "from_docker"])
async def test_a_shell_goes_on_in_another_backend(
    bubblewrap_backend: Backend, docker_backend: Backend, backwards: bool
) -> None:
    async with started(bubblewrap_backend) as one, started(docker_backend) as other:
        if backwards:
            one, other = other, one
        await one(SET)
        expected = await one(ASKED)
        assert b"|y z|3|v w|yes|7|hello you|mine|theirs|/mnt/data/deep\n" in expected.stdout
        saved = await save_shell(one.channel)
        assert (await one(ASKED)).stdout == expected.stdout, "the shell is as it was"
        before = await other("mkdir deep; echo $HOME; type -P ls; echo $PATH")
        await restore_shell(other.channel, saved)
        found = await other(ASKED)
        home, ls, path = before.stdout.decode().split("\n")[:3]
        assert found.stdout.split(b"\n")[:-3] == expected.stdout.split(b"\n")[:-3], found.stderr
        assert found.stdout.decode().split("\n")[-3:] == [ls, home, ""]
        assert (await other("echo $PATH")).stdout.decode() == f"{path}:/mnt/data/bin\n"
        assert b"moved" not in (await other("ls /var/lib/agent-kernel")).stdout
