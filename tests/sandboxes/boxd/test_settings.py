"""No setting of a command changes how boxd learns the next command's end, output and exit code."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_kernel.sandboxes.channel import Exited
from tests.conftest import without_gvisor
from tests.sandboxes.inside import Sandbox

pytestmark = without_gvisor

PROBE = "/bin/sh -c 'echo out; echo err >&2; exit 7'"
"""It needs nothing of bash but a way to start a program."""


def words(text: str) -> list[str]:
    return text.split()


BUILTINS = words("""
    . : [ alias bg break builtin cd command compgen continue declare dirs echo enable eval exec exit
    export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf pushd
    pwd read readonly return set shift shopt source suspend test times trap true type ulimit umask unset
    wait
""")
KEYWORDS = words("""
    ! case coproc do done elif else esac fi for function if in select then time until while [[
""")
SET = words("""
    allexport braceexpand errexit errtrace functrace hashall histexpand history ignoreeof
    interactive-comments keyword monitor noclobber noexec noglob nolog notify nounset onecmd physical
    pipefail posix privileged verbose vi emacs xtrace
""")
SHOPT = words("""
    autocd assoc_expand_once cdable_vars checkhash checkjobs checkwinsize cmdhist compat31 compat44
    direxpand dotglob execfail expand_aliases extdebug extglob extquote failglob force_fignore
    globasciiranges globskipdots globstar gnu_errfmt huponexit inherit_errexit interactive_comments
    lastpipe localvar_inherit localvar_unset login_shell nocaseglob nocasematch noexpand_translation
    nullglob patsub_replacement progcomp promptvars shift_verbose sourcepath varredir_close xpg_echo
""")
VARIABLES = words("""
    IFS PS1 PS4 BASH_ENV ENV PROMPT_COMMAND PATH TMPDIR BASH_XTRACEFD GLOBIGNORE POSIXLY_CORRECT CDPATH
    HOME PWD OLDPWD OPTIND REPLY LINENO FUNCNEST EXECIGNORE HISTFILE LANG LC_ALL TIMEFORMAT TMOUT
    IGNOREEOF BASH_COMPAT CHILD_MAX COLUMNS SHELLOPTS BASHOPTS BASH_ARGV0 AGENT_KERNEL_JOB code text
    status nonce _
""")
VALUES = ["", "0", "1", "7", "0123456789", "x y", "/nowhere", "*", "$(exit 3)", "\n"]

many_in_one = settings(
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
set_options = st.builds("set {0}o {1}".format, st.sampled_from("+-"), st.sampled_from(SET))
shopt_options = st.builds("shopt -{0} {1}".format, st.sampled_from("su"), st.sampled_from(SHOPT))
aliases = st.builds(
    "alias {0}={1}".format,
    st.sampled_from(BUILTINS + KEYWORDS),
    st.sampled_from(["false", "'exit 3'", "'('"]),
)
functions = st.builds(
    "function {0} {{ {1}; }}{2}".format,
    st.sampled_from(BUILTINS),
    st.sampled_from(["/bin/false", "return 5", "exit 3"]),
    st.sampled_from(["", "; readonly -f {0}"]),
)
variables = st.builds(
    lambda flag, name, value: f"declare {flag} {name}={shlex.quote(value)}",
    st.sampled_from(["--", "-r", "-i", "-u", "-l", "-x", "-a", "-A", "-n", "-t"]),
    st.sampled_from(VARIABLES),
    st.sampled_from(VALUES),
)
traps = st.builds(
    lambda code, name: f"trap {shlex.quote(code)} {name}",
    st.sampled_from(["", "/bin/true", "X=$((X+1))"]),
    st.sampled_from(["DEBUG", "ERR", "RETURN", "EXIT", "INT", "TERM", "CHLD", "PIPE", "HUP", "USR1"]),
)
any_setting = st.one_of(set_options, shopt_options, aliases, functions, variables, traps)


async def check(run: Sandbox, lines: list[str]) -> None:
    """Each setting is a line, and the next commands end as in a shell without any of them."""
    await run.channel.reset()
    assert isinstance((await run("\n".join(lines), timeout=10)).outcome, Exited), lines
    for command, code, stdout, stderr in (
        (PROBE, 7, b"out\n", b"err\n"),
        ("/bin/true", 0, b"", b""),
        (PROBE, 7, b"out\n", b"err\n"),
    ):
        done = await run(command, timeout=10)
        assert (done.code, done.stdout, done.stderr) == (code, stdout, stderr), lines


@many_in_one
@given(st.lists(any_setting, min_size=1, max_size=6))
@example([f"function {name} {{ /bin/false; }}" for name in BUILTINS])
@example([f"alias {name}=false" for name in KEYWORDS + BUILTINS])
@example(["function builtin { exit 3; }", "readonly -f builtin"])
@example(["declare -r _=''"])
@example(["declare -ia _=1", "declare -n __boxd_text=_"])
@example(["for name in $(compgen -v); do readonly $name; done"])
@example(["enable -n eval"])
@example(["enable -n builtin"])
@example([f"enable -n {name}" for name in BUILTINS])
async def test_no_setting_changes_how_a_command_ends(run: Sandbox, lines: list[str]) -> None:
    await check(run, lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(many_in_one, max_examples=3000, derandomize=False)
@given(st.lists(any_setting, min_size=1, max_size=12))
async def test_many_settings_change_nothing_either(run: Sandbox, lines: list[str]) -> None:
    await check(run, lines)
