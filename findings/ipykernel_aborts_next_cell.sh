#!/bin/sh
# ipykernel 7.4.0: the cell that a client sends upon the reply of an error.
#
# Seen on 2026-11-30: after a cell has failed, ipykernel aborts the cells that wait behind it, as the protocol says.
# It begins with that after it has sent the reply. A client that sends its next cell as soon as it has the reply may
# be faster: that cell is aborted too. Front ends show nothing for it. On a busy machine this happened to 20 of 1,500
# cells; here the kernel pauses between the reply and the abort, so that it happens each time.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ipykernel==7.4.0 jupyter_client==8.10.0
cd "$folder"
cat > paused.py <<'END'
import time

from ipykernel.kernelapp import launch_new_instance
from jupyter_client.session import Session

send = Session.send


def paused(session, stream, kind, content=None, *more, **named):
    sent = send(session, stream, kind, content, *more, **named)
    if kind == "execute_reply" and content["status"] == "error":
        time.sleep(1)
    return sent


Session.send = paused
launch_new_instance()
END
venv/bin/python -W ignore - <<'END' 2>/dev/null
import sys

from jupyter_client.manager import KernelManager

manager = KernelManager()
manager.kernel_spec.argv[:] = [sys.executable, "paused.py", "-f", "{connection_file}"]
manager.start_kernel()
client = manager.blocking_client()
client.start_channels()
client.wait_for_ready(timeout=60)
failed = client.execute("1 / 0", reply=True, timeout=60)["content"]["status"]
following = client.execute("1 + 1", reply=True, timeout=60)["content"]["status"]
later = client.execute("1 + 1", reply=True, timeout=60)["content"]["status"]
print("a cell that fails:", failed)
print("the cell that is sent upon that reply:", following)
print("the one after it:", later)
client.stop_channels()
manager.shutdown_kernel(now=True)
assert (failed, following, later) == ("error", "aborted", "ok"), (failed, following, later)
END
