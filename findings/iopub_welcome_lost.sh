#!/bin/sh
# ipykernel 7.4.0 with pyzmq 27.3.0: the welcome of the IOPub channel, for a client that connects while the
# kernel sends something.
#
# Seen on 2026-11-29: a client that subscribes while nothing is sent gets `iopub_welcome`. If the subscription
# arrives while the IOPub thread is busy with a message, the client gets that message and no welcome, not even
# after later messages. A client that waits for the welcome before it sends its first request waits for ever.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ipykernel==7.4.0 pyzmq==27.3.0 jupyter_client==8.10.0
cd "$folder"
venv/bin/python -W ignore - <<'END' 2>/dev/null
import json
import time

import zmq
from ipykernel.iostream import IOPubThread
from jupyter_client.session import Session

context = zmq.Context()
channel = context.socket(zmq.XPUB)
address = f"tcp://127.0.0.1:{channel.bind_to_random_port('tcp://127.0.0.1')}"
thread = IOPubThread(channel, session=Session())
thread.start()


def client():
    made = context.socket(zmq.SUB)
    made.setsockopt(zmq.SUBSCRIBE, b"")
    return made


def received(sub, milliseconds):
    found = []
    while sub.poll(milliseconds):
        parts = sub.recv_multipart()
        if b"<IDS|MSG>" in parts:
            found.append(json.loads(parts[parts.index(b"<IDS|MSG>") + 2])["msg_type"])
        else:
            found.append(parts[0].decode())
    return found


quiet, busy = client(), client()
quiet.connect(address)
welcomed = received(quiet, 2000)


def send_while_a_client_connects():
    busy.connect(address)
    time.sleep(0.5)  # the subscription arrives meanwhile
    channel.send_multipart([b"a message"])


thread.schedule(send_while_a_client_connects)
first = received(busy, 2000)
thread.schedule(lambda: channel.send_multipart([b"another message"]))
later = received(busy, 2000)
print("connected while nothing is sent:", welcomed)
print("connected while something is sent:", first + later)
thread.stop()
thread.close()
quiet.close()
busy.close()
context.term()
assert welcomed == ["iopub_welcome"], welcomed
assert first + later == ["a message", "another message"], first + later
END
