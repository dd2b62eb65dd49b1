"""An MCP server over stdio with the standard library only. It counts its calls, and asks the user."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

EMPTY = {"type": "object"}
SEATS = {"type": "object", "properties": {"seats": {"type": "integer"}}, "required": ["seats"]}


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def read() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    found: dict[str, Any] = json.loads(line)
    return found


def asked() -> str:
    """What the user answers."""
    params = {"message": "How many seats?", "requestedSchema": SEATS}
    send({"id": "q1", "method": "elicitation/create", "params": params})
    while (answer := read()).get("id") != "q1":
        pass
    result = answer["result"]
    return f"heard {result['action']} {json.dumps(result.get('content'))}"


count = 0
while True:
    message = read()
    if "id" not in message or "method" not in message:
        continue
    match message["method"]:
        case "initialize":
            information = {"name": "s", "version": "1"}
            capabilities: dict[str, Any] = {"tools": {}}
            result: Any = {
                "protocolVersion": "2025-06-18",
                "capabilities": capabilities,
                "serverInfo": information,
            }
        case "tools/list":
            result = {"tools": [{"name": name, "inputSchema": EMPTY} for name in ("count", "ask")]}
        case "tools/call":
            count += 1
            said = f"{count} in {os.getcwd()}" if message["params"]["name"] == "count" else asked()
            result = {"content": [{"type": "text", "text": said}]}
        case _:
            send({"id": message["id"], "error": {"code": -32601, "message": "no"}})
            continue
    send({"id": message["id"], "result": result})
