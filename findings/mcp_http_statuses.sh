#!/bin/sh
# mcp 2.3.0: what a client is told when a server over streamable HTTP refuses its key, is not there, or is overloaded.
#
# Seen on 2026-11-30, in both generations of the protocol: 401, 403, 429, 500 and 503 are one and the same error, code
# -32603 with "Server returned an error response"; status, body and Retry-After are gone. 404 has the code -32601, which
# stands for a method that the server does not have, also for an address where no MCP server is.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0
"$folder/venv/bin/python" - <<'END'
import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mcp import Client, MCPError


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"Try again later."
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Type", "text/plain")
        self.send_header("Retry-After", "30")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_DELETE = do_POST

    def log_message(self, *_):
        pass


async def said(url, mode):
    found = []
    try:
        async with Client(url, mode=mode) as client:
            await client.list_tools()
    except* MCPError as group:
        while isinstance(group, BaseExceptionGroup):
            (group,) = group.exceptions
        found.append((group.error.code, str(group)))
    return found[0]


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for status in (401, 403, 404, 429, 500, 503):
        for mode in ("auto", "legacy"):
            found = await said(f"http://127.0.0.1:{server.server_port}/{status}", mode)
            print(status, mode, found)
            expected = (-32601, "Not Found") if status == 404 else (-32603, "Server returned an error response")
            assert found == expected


asyncio.run(main())
END
