# mypy: disable-error-code="import-not-found"
"""llama.cpp's server with SmolLM2-135M. It runs in its own environment: `serve.py PORT TEMPLATE`.

The first line that it prints is its address.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from xllamacpp import CommonParams, Server

params = CommonParams()
params.model.path = str(next(Path(sys.prefix).rglob("SmolLM2-135M-Instruct*.gguf")))
params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[1])
params.n_ctx, params.n_parallel = 768, 1
# With a thread per core the speed collapses when other processes use the cores.
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.sampling.temp = 0
params.chat_template = Path(sys.argv[2]).read_text()
server = Server(params)
print(server.listening_address, flush=True)
signal.pause()
