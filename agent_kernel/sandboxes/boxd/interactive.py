"""Stand-ins for programs that wait for a person: they refuse at once where there is no terminal.

They are in a folder that comes first in the PATH of commands, so `env vi` and a script that calls `vi` find
them too; a full path such as `/usr/bin/vi` does not. With a terminal, with options for use in scripts, or
with its commands on standard input, the real program of that name runs.
"""

from __future__ import annotations

import os

EDITORS = (
    *("vi", "vim", "view", "vimdiff", "rvim", "rview", "nvim", "editor"),
    *("nano", "pico", "emacs", "joe", "mcedit", "mc"),
)
SCREENS = ("htop", "watch")

_FILE = "stand-in"

PROGRAM = r"""#!/bin/sh
# From agent-kernel: runs the program of this name only if it does not wait for a person.
name=${0##*/} here=${0%/*} refuse=yes
repeated() { # Whether watch ends by an option or by `timeout`, or runs in the background.
    value=
    for word; do
        [ -z "$value" ] || { value= && continue; }
        case $word in
            -n | --interval) value=next ;;
            --chgexit | --errexit | --equexit* | --help | --version) return 0 ;;
            --) return 1 ;;
            --*) ;;
            -*[geqhv]*) return 0 ;;
            -*) ;;
            *) break ;;
        esac
    done
    read -r parent </proc/$PPID/comm && [ "$parent" = timeout ] && return 0
    background=yes
    trap background= INT # no effect in the background, where shells ignore the signal
    kill -INT $$
    trap - INT
    [ "$background" ]
}
scripted() { # Whether an option says that no person edits.
    for word; do
        case $word in
            - | -[RoOpdnNby] | -[oOp][0-9]* | + | +[0-9]* | +/* | -nw | -q | -Q) ;;
            --) return 1 ;;
            [-+]*) return 0 ;;
        esac
    done
    return 1
}
if [ -t 0 ]; then refuse=; fi
case $name in
    watch)
        advice="Repeat a command in a loop that ends: for n in 1 2 3; do date; sleep 1; done"
        if [ "$refuse" ] && repeated "$@"; then refuse=; fi ;;
    htop)
        advice="List processes with ps aux, or top -b -n 1."
        if scripted "$@"; then refuse=; fi ;;
    *)
        advice="Write files with a here-document, sed or python3."
        if [ ! -c /dev/stdin ] || scripted "$@"; then refuse=; fi ;;
esac
if [ "$refuse" ]; then
    echo "$name needs a terminal, and there is none here. $advice" >&2
    exit 1
fi
IFS=: && set -f
for folder in $PATH; do
    if [ "$folder" != "$here" ] && [ -f "$folder/$name" ] && [ -x "$folder/$name" ]; then
        exec "$folder/$name" "$@"
    fi
done
echo "$name: command not found" >&2
exit 127
"""


def install(folder: str) -> None:
    """Write the stand-ins into `folder`, over those of another version. Raises `OSError`."""
    os.makedirs(folder, exist_ok=True)
    for name in (_FILE, *EDITORS, *SCREENS):
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            os.unlink(path)
        if name != _FILE:
            os.symlink(_FILE, path)
            continue
        # A new file: a command may have put a pipe in its place, which boxd would wait for.
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "w") as file:
            file.write(PROGRAM)
        os.chmod(path, 0o755)  # noqa: S103 (a program)
