"""Exact bytes: whatever a command prints and however a file is called."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.channel import Exited
from tests.sandboxes.inside import Sandbox, chunks
from tests.sandboxes.shared import SHARED, shared_run

pytestmark = SHARED
run = shared_run


many_in_one = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""One sandbox serves all examples of a test: the shell is to survive each of them anyway."""

names = (
    st.binary(min_size=1, max_size=60)
    .filter(lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b".."))
    .filter(lambda name: not name.endswith(b".part-1"))
)


@many_in_one
@given(st.binary(max_size=3000), st.binary(max_size=3000))
@example(b"\xe2\x82", b"\xac\0\xff")
@example(b"no newline", b"two\n\n")
@example(b"0\n", b"# end\n")
async def test_both_outputs_arrive_as_they_were_written(run: Sandbox, out: bytes, err: bytes) -> None:
    await run.channel.put("/tmp/out", chunks(out))
    await run.channel.put("/tmp/err", chunks(err))
    done = await run("cat /tmp/out; cat /tmp/err >&2")
    assert (done.stdout, done.stderr, done.code) == (out, err, 0)


@many_in_one
@given(names)
@example(b"-rf")
@example(b"$(touch x)`id`'\";|&")
@example(b"caf\xe9\n")
async def test_files_keep_their_names(run: Sandbox, name: bytes) -> None:
    path = f"{WORKSPACE}/{name.decode('utf-8', 'surrogateescape')}"
    stat = await run.channel.put(path, chunks(name))
    assert await run.channel.list(WORKSPACE) == [stat]
    assert b"".join([piece async for piece in run.channel.get(path)]) == name
    await run.channel.remove(path)
    assert await run.channel.list(WORKSPACE) == []


@pytest.mark.slow_on_gvisor
@many_in_one
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400))
@example("'")
@example("echo $((")
@example("}; exit 9; {")
@example("cat <<E")
@example("\r\n")
async def test_no_command_text_breaks_the_shell(run: Sandbox, text: str) -> None:
    """Whatever a command's text is, it ends, and the next command runs (in a fresh shell if need be)."""
    await run(text, timeout=5)
    assert (await run("cd; echo on")).outcome == Exited(0)


async def test_a_burst_larger_than_a_frame(run: Sandbox) -> None:
    code = "import os, sys; os.write(1, bytes(9_000_000)) ; print('end')"
    done = await run(f'python3 -c "{code}"')
    assert done.stdout.strip(b"\0") == b"end\n"
    assert done.stdout.count(b"\0") >= 65536


@pytest.mark.slow_on_gvisor
async def test_output_that_looks_like_ours_prompts_and_pagers(run: Sandbox) -> None:
    await run("PS1='prompt> '; PROMPT_COMMAND='echo prompted'; PS2='more> '")
    done = await run(
        "printf '0\\n\\033[31mred\\033[0m\\n# end\\n__boxd_end 0\\n$ \\n'; seq 3 | ${PAGER:-less}"
    )
    assert done.stdout == b"0\n\x1b[31mred\x1b[0m\n# end\n__boxd_end 0\n$ \n1\n2\n3\n"
