r"""The bash code that boxd adds to a command: what runs before it, after it, and between two commands.

A command can set any option, trap, alias, function or variable, and this code runs in the same bash. So:

- What is called is a readonly function of the prelude, written with a backslash, which aliases do not match.
- The functions call builtins as `\builtin NAME`, because commands may define functions of those names. A
  function called `builtin` is not called either: with `FUNCNEST` at 1, bash refuses to call a function from a
  function and drops the whole line. boxd notices that and sends `recover`.
- The shell has no DEBUG, ERR or RETURN trap between two commands. They are kept in the file `traps` and set
  again at the start of the next command. A DEBUG trap runs for the first of boxd's own commands after it,
  with its output discarded: six of them, if the command sets it in a way that cannot be seen in its text.
- Reports carry a nonce that is in no variable and in no file.
"""

from __future__ import annotations

from . import processes

PRELUDE = r"""
\builtin shopt -u expand_aliases
__boxd_dump() {
  { \builtin declare -p; \builtin alias -p; \builtin trap -p; \builtin umask -p
    \builtin printf '\\builtin cd -- %%q\n\\builtin shopt -u expand_aliases\n' "$PWD"
    [[ ${2-} ]] || \builtin declare -f
    \builtin printf '# end\n'; } >|"$1"
}
__boxd_leave() { __boxd_dump %(run)s/state.exit 2>/dev/null; }
__boxd_end() {
  __boxd_code=${__boxd_code:-$1}
  if [[ -R FUNCNEST || ( $- != *u* || -v FUNCNEST ) && ${FUNCNEST@a} == *r* ]]; then \builtin :
  elif [[ -v FUNCNEST ]]; then __boxd_text=$FUNCNEST; FUNCNEST=1; \builtin :; FUNCNEST=$__boxd_text
  else FUNCNEST=1; \builtin unset -v FUNCNEST
  fi
  \builtin enable %(builtins)s
  \builtin set +efuvxnt +o pipefail
}
__boxd_look() {
  \builtin read -r -d '' __boxd_text <%(run)s/shell
  if [[ $__boxd_text == %(plain)s ]]; then \builtin return; fi
  \builtin local -
  \builtin set +TEC
  \builtin trap -p EXIT >%(run)s/shell
  \builtin read -r -d '' __boxd_text <%(run)s/shell
  if [[ $__boxd_text != *"-- '__boxd_leave'"* ]]; then
    \builtin trap __boxd_leave EXIT
    if [[ $__boxd_text == "trap -- "* ]]; then
      \builtin eval "\builtin set -- ${__boxd_text#trap -- }"
      __boxd_text=
      \builtin eval "$1" >>%(run)s/out 2>>%(run)s/err </dev/null
      \builtin trap __boxd_leave EXIT
    fi
  fi
  __boxd_text=
}
__boxd_plain() { [[ $__boxd_text ]]; }
__boxd_save() {
  \builtin echo "$2 end $__boxd_code" >%(run)s/status
  __boxd_dump %(run)s/state.$1 "$__boxd_text"
  if \builtin enable enable && [[
    ${%(job)s@a} == x && ${__boxd_code@a}${__boxd_text@a} == ?(xx) && ${_@a} == ?(x)
    && ${FUNCNEST@a} != *r* && ! -R %(job)s && ! -R __boxd_code && ! -R __boxd_text && ! -R FUNCNEST ]]
  then \builtin echo "$2 saved"
  else \builtin echo "$2 spoilt"
  fi >%(run)s/status
  \builtin return "$__boxd_code"
}
\builtin readonly -f %(functions)s
\builtin readonly __boxd_do='%(command)s'
\builtin trap : %(ending)s
\builtin trap - %(ending)s
\builtin trap __boxd_leave EXIT
\builtin trap : %(ending)s
\builtin trap - %(ending)s
\builtin trap '\builtin exit 143' %(abort)d
\builtin export %(job)s=0
\builtin shopt -s expand_aliases
"""

_FUNCTIONS = ("__boxd_dump", "__boxd_end", "__boxd_leave", "__boxd_look", "__boxd_plain", "__boxd_save")
_PLAIN = r"\n".join([*("declare -fr " + name for name in _FUNCTIONS), r"trap -- \'__boxd_leave\' EXIT"])
"""What `declare -F` and `trap -p` print in a session with no function and no trap.

Functions are not saved then: printing boxd's own takes about as long as printing all variables.
"""

_BUILTINS = (
    ". : alias builtin cd command declare echo enable eval exit export local printf read readonly return "
    "set shift shopt trap umask unset"
)
"""What this code calls. A command may have disabled it with `enable -n`."""

_ENDING = "HUP INT TERM USR1 USR2 ALRM"
"""The signals that bash catches once it has an EXIT trap. A child of bash 5.2 that has not yet started its
program loses one of them: `server & kill $!` has no effect. Setting and removing a trap before and after the
EXIT trap gives them their default action back."""

_TRAPS = "ERR RETURN DEBUG"
_KEEP_TRAPS = rf"\builtin trap -p {_TRAPS} >%s%s/traps;\builtin trap - {_TRAPS}"
_RECOVER = (
    r"__boxd_code=${__boxd_code:-$?};"
    r"POSIXLY_CORRECT=y;\unset -f builtin enable;\unset POSIXLY_CORRECT;"
    r"\enable builtin;\unset -v FUNCNEST;"
    r"\builtin shopt -u inherit_errexit shift_verbose;\builtin shopt -s expand_aliases;"
)
"""Only in POSIX mode, bash looks for the builtin `unset` before a function of that name."""


def prelude(run: str, abort: int) -> str:
    """Return what every bash runs first. `abort` is the signal that asks it to leave."""
    command = rf"__boxd_code=;\builtin . {run}/command >{run}/out 2>{run}/err </dev/null;" + _after("$?", run)
    words = {
        "abort": abort,
        "job": processes.JOB_VARIABLE,
        "ending": _ENDING,
        "command": command,
        "builtins": _BUILTINS,
        "functions": " ".join(_FUNCTIONS),
        "plain": "$'%s'" % _PLAIN,
    }
    return PRELUDE % {"run": run, **words}


def first_line(prelude: str, turn: int, nonce: str) -> str:
    """Return the line that runs the prelude and reports that the shell is ready."""
    return prelude + rf"__boxd_code=0 __boxd_text=;\__boxd_save {turn} {nonce}"


def command_line(job: str, turn: int, nonce: str) -> str:
    """Return the line that runs the file `command` with its outputs, and reports its end.

    bash reads it with a system call for each byte, so what never changes is in a variable of the prelude.
    """
    return rf'{processes.JOB_VARIABLE}={job};\builtin eval "$__boxd_do" {turn} {nonce}'


COME_ALONG = r'__boxd_text=${OLDPWD-};\builtin cd -- "$PWD" 2>/dev/null&&OLDPWD=$__boxd_text;__boxd_text=;'
"""Goes to the shell's directory by its name, and keeps the last one for `cd -`."""


def changes(values: dict[str, str | None]) -> str:
    """Return what sets variables, and removes those that are None. A readonly one stays as it is."""
    words = [r"\builtin unset -v %s;" % name for name, value in values.items() if value is None]
    words += [
        r"\builtin export %s='%s';" % (name, value.replace("'", r"'\''"))
        for name, value in values.items()
        if value is not None
    ]
    return "".join(words)


def recover_line(run: str, turn: int, nonce: str) -> str:
    """Return the line that reports a command's end, after `command_line` could not."""
    return _RECOVER + _after("$__boxd_code", run) + f" {turn} {nonce}"


def _after(code: str, run: str) -> str:
    """Return what follows a command. Its last words are missing: the turn and the nonce."""
    look = rf"{{ \builtin declare -F;\builtin trap -p EXIT {_TRAPS};}} >|{run}/shell"
    keep = _KEEP_TRAPS % (">", run)
    return rf'\__boxd_end "{code}";{look};\__boxd_look;\__boxd_plain||{{ {keep};}};\__boxd_save'


def command_file(command: bytes, traps: bytes, run: str) -> bytes:
    """Return what the file `command` holds: the command, which begins on the first line.

    `traps` is what `trap -p` has printed. If there are traps, or if the command may set one, its last line
    puts them away before boxd's own code runs. That line is left out where it could become part of the
    command's text.
    """
    mentioned = traps or any(name.encode() in command for name in _TRAPS.split())
    content = _one_line(traps) + command
    if mentioned and b"<<" not in command and not command.rstrip().endswith(b"\\"):
        keep = _KEEP_TRAPS % ("|", run)
        content += b"\n{ __boxd_code=$?;%s;} >/dev/null 2>&1\n" % keep.encode()
    return content


def _one_line(traps: bytes) -> bytes:
    """Join the lines that `trap -p` has printed into one, so that a command's lines keep their numbers."""
    joined = bytearray()
    quoted = False
    for index, byte in enumerate(traps):
        if byte == 0x27 and (quoted or traps[index - 1 : index] != b"\\"):
            quoted = not quoted
        if byte == 0x0A:
            joined += b"'$'\\n''" if quoted else b";"
        else:
            starts = not quoted and (not joined or joined.endswith(b";"))
            joined += b"\\builtin " * starts + bytes([byte])
    return bytes(joined)
