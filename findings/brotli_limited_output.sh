#!/bin/sh
# brotli 1.2.1: decompressing with a limit on the output of each call.
#
# Seen on 2026-11-29: with `output_buffer_limit`, `can_accept_more_data()` becomes true as soon as all input is
# taken in, although most of the output has not been returned yet. A loop that ends then, as the method's name
# suggests, returns 98,272 of 1,048,576 bytes without any error. Only `is_finished()` tells when all is there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check brotli==1.2.1
"$folder/venv/bin/python" - <<'END'
import brotli

LIMIT = 1 << 16
text = bytes(1 << 20)
reader = brotli.Decompressor()
size = len(reader.process(brotli.compress(text), output_buffer_limit=LIMIT))
while not reader.can_accept_more_data():
    size += len(reader.process(b"", output_buffer_limit=LIMIT))
early, finished = size, reader.is_finished()
while not reader.is_finished():
    size += len(reader.process(b"", output_buffer_limit=LIMIT))
print("bytes when it accepts more data:", early, "- finished:", finished)
print("bytes when it is finished:", size, "of", len(text))
assert early == 98272 and not finished, (early, finished)
assert size == len(text), size
END
