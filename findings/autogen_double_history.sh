#!/bin/sh
# autogen-ext 0.7.5: `OpenAIAgent` continues a stored response and sends the whole conversation again.
#
# Seen on 2026-11-30: the second request has `previous_response_id` and, as its input, the instructions, the first
# question and the first answer too. The API puts the input behind the items of that response, so the model reads
# every earlier message again with each turn, and the input grows with the square of the number of turns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  "autogen-ext[openai]==0.7.5" autogen-agentchat==0.7.5 openai==3.57.0
"$folder/venv/bin/python" - <<'END'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from autogen_ext.agents.openai import OpenAIAgent
from openai import AsyncOpenAI

asked = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        text = {"type": "output_text", "text": f"answer {len(asked)}", "annotations": []}
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
        response = {"id": f"resp_{len(asked)}", "object": "response", "status": "completed", "output": [message]}
        body = json.dumps(response).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


async def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none")
    agent = OpenAIAgent(name="a", description="a", client=client, model="m", instructions="Be brief.")
    await agent.run(task="question 1")
    await agent.run(task="question 2")
    first, second = asked
    print("first: ", first.get("previous_response_id"), [each["content"] for each in first["input"]])
    print("second:", second["previous_response_id"], [each["content"] for each in second["input"]])
    assert second["previous_response_id"] == "resp_1" and second["store"]
    assert [each["content"] for each in second["input"]] == ["Be brief.", "question 1", "answer 1", "question 2"]


asyncio.run(main())
END
