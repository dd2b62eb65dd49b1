#!/bin/sh
# openai 3.57.0 and anthropic 2.14.0: headers that the environment adds to every request.
#
# Seen on 2026-11-30: both clients read OPENAI_CUSTOM_HEADERS or ANTHROPIC_CUSTOM_HEADERS whenever they are made. The
# headers go to any `base_url`, so also to a server of somebody else, and a client with an explicit key sends them.
# `with_options(set_default_headers={})`, which replaces all default headers, makes a new client that reads them again.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0 anthropic==2.14.0
OPENAI_CUSTOM_HEADERS="X-Gateway: s3cret" ANTHROPIC_CUSTOM_HEADERS="X-Gateway: s3cret" "$folder/venv/bin/python" - <<'END'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from anthropic import Anthropic
from openai import OpenAI

seen = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append(self.headers.get("X-Gateway"))
        body = json.dumps({"object": "list", "data": [], "has_more": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for kind in (OpenAI, Anthropic):
    client = kind(api_key="another key", base_url=f"http://127.0.0.1:{server.server_address[1]}")
    for made in (client, client.with_options(set_default_headers={})):
        made.models.list()
        print(f"{kind.__name__} sent X-Gateway: {seen[-1]}")
assert seen == ["s3cret"] * 4, seen
END
