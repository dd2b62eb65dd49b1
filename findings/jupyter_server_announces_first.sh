#!/bin/sh
# jupyter_server 2.21.1: a free port is announced before it is bound.
#
# Seen on 2026-11-29: with port 0 the server finds a free port and gives it back. It then writes its jpserver
# file and logs the address with "To access the server", and binds the port only when its event loop runs. If
# another process has taken the port by then, the server ends with status 1; `port_retries` does not apply any
# more. A program that waits for the file or for the log line talks to somebody else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jupyter_server==2.21.1 tornado==6.5.8
cd "$folder"
HOME=$folder JUPYTER_RUNTIME_DIR=$folder/runtime venv/bin/python - <<'END'
import json
import pathlib
import socket

from jupyter_server.serverapp import ServerApp

options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--ServerApp.port_retries=50"]
app = ServerApp()
app.initialize(options)
other = socket.create_server(("127.0.0.1", app.port))  # free: the server does not hold what it chose
announced = []
run_loop = app.start_ioloop


def note_and_run():
    announced.extend(json.loads(file.read_text())["port"] for file in pathlib.Path("runtime").glob("jpserver-*.json"))
    run_loop()


app.start_ioloop = note_and_run
try:
    app.start()
except SystemExit as end:
    status = end.code
print(f"announced the port of another process: {announced == [other.getsockname()[1]]}; ended with status {status}")
assert announced == [other.getsockname()[1]], announced
assert status == 1, status
END
