"""`pip` in a sandbox: that of the toolbox's Python, which has none installed.

Python brings pip along as a wheel, for new virtual environments. `environments` makes it importable for the
toolbox's Python, so that `python3 -m pip` works; this is the command of that name.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("pip", "pip3")

PROGRAM = r"""#!/bin/sh
# From agent-kernel: pip of the Python that commands run, or else another program of this name.
name=${0##*/} here=${0%/*}
if python3 -c 'import importlib.util as u, sys; sys.exit(u.find_spec("pip") is None)'; then
    exec python3 -m pip "$@"
fi
IFS=:
for folder in $PATH; do
    [ "$folder" = "$here" ] || [ ! -x "$folder/$name" ] || exec "$folder/$name" "$@"
done
echo "$name: the Python of this sandbox has no pip. On the host: apt-get install python3-venv" >&2
exit 127
"""


def install(folder: Path) -> None:
    """Write the programs into an existing folder. Raises `OSError`."""
    for name in NAMES:
        path = folder / name
        path.write_text(PROGRAM)
        path.chmod(0o755)
