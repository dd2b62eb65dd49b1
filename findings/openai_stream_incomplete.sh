#!/bin/sh
# openai 3.57.0: `responses.stream()` with a response that ends as `incomplete`.
#
# Seen on 2026-11-29: the stream's events arrive, the last one is `response.incomplete` with the whole response in
# it, and yet `get_final_response()` raises RuntimeError("Didn't receive a `response.completed` event."). The plain
# `responses.create()` returns the same response without an error.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0
PYTHONPATH=$here "$folder/venv/bin/python" - <<'END'
import incomplete_server
from openai import OpenAI

client = OpenAI(base_url=incomplete_server.serve(), api_key="none")
plain = client.responses.create(model="m", input="hi")
print("create:", plain.status, repr(plain.output_text))
with client.responses.stream(model="m", input="hi") as stream:
    last = [event for event in stream][-1]
    try:
        stream.get_final_response()
        raised = None
    except RuntimeError as error:
        raised = str(error)
print("stream, last event:", last.type, last.response.status, repr(last.response.output_text))
print("get_final_response raises:", raised)
assert (plain.status, plain.output_text) == ("incomplete", "The first half of")
assert (last.type, last.response.output_text) == ("response.incomplete", "The first half of")
assert raised is not None and "response.completed" in raised
END
