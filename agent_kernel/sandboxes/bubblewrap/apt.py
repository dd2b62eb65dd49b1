"""Stand-ins for apt: bubblewrap's sandboxes share the host's system read-only, so apt could change nothing.

They say so, and how a sandbox with more Debian packages is made. They are in the folder that comes first in
the PATH of commands, beside those of `boxd.interactive`.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("apt", "apt-get", "aptitude")

PROGRAM = r"""#!/bin/sh
# From agent-kernel: this sandbox has no packages of its own.
name=${0##*/} action= packages= value=
for word; do
    [ -z "$value" ] || { value= && continue; }
    case $word in
        -[acot]) value=next ;;
        -* | *[!a-z0-9+.-]*) ;;
        *) if [ "$action" ]; then packages="$packages $word"; else action=$word; fi ;;
    esac
done
[ "$action" = install ] && [ "$packages" ] || packages=" NAME"
cat >&2 <<END
$name: this sandbox shows the host's system read-only, so no Debian packages can be installed in it.
Sandboxes of Docker can have more packages. On the host: agent-kernel image build --packages '${packages# }'
END
exit 100
"""


def install(folder: Path) -> None:
    """Write the stand-ins into an existing folder. Raises `OSError`."""
    for name in NAMES:
        path = folder / name
        path.write_text(PROGRAM)
        path.chmod(0o755)
