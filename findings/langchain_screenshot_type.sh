#!/bin/sh
# langchain-openai 1.7.3, openai 3.57.0: a screenshot goes back under a type that the openai package does not have.
#
# Seen on 2026-12-01, with `use_responses_api=True` and `output_version="responses/v1"`: a ToolMessage that answers a
# `computer_call` becomes a `computer_call_output` whose `output` has the type `input_image`. The openai package's
# type of that item, made from the API's description, knows `computer_screenshot` alone, so a server that validates
# requests by it refuses the conversation.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langchain-openai==1.7.3 openai==3.57.0
"$folder/venv/bin/python" - <<'END'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai.types.responses.response_input_item_param import ComputerCallOutput
from pydantic import TypeAdapter, ValidationError

CALL = {
    "type": "computer_call", "id": "cu_1", "call_id": "call_1", "status": "completed",
    "actions": [{"type": "screenshot"}], "pending_safety_checks": [],
}
TEXT = {"type": "output_text", "text": "Done.", "annotations": []}
MESSAGE = {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": [TEXT]}
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
)
asked = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        response = {
            "id": f"resp_{len(asked)}", "object": "response", "created_at": 1, "model": "m", "status": "completed",
            "output": [CALL if len(asked) == 1 else MESSAGE], "parallel_tool_calls": True, "tool_choice": "auto",
            "tools": [],
        }
        body = json.dumps(response).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
model = ChatOpenAI(
    model="m", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="none", use_responses_api=True,
    output_version="responses/v1",
)
history = [HumanMessage("Look.")]
history.append(model.invoke(history, tools=[{"type": "computer"}]))
kind = {"type": "computer_call_output"}
model.invoke([*history, ToolMessage(PICTURE, tool_call_id="call_1", additional_kwargs=kind)])
(sent,) = [each for each in asked[1]["input"] if each["type"] == "computer_call_output"]
print("the screenshot goes back as", sent["output"]["type"])
assert sent["output"] == {"type": "input_image", "image_url": PICTURE}
try:
    TypeAdapter(ComputerCallOutput).validate_python(sent)
    raise SystemExit("the openai package's type allows it")
except ValidationError as error:
    found = [(each["loc"], each["type"], each["ctx"]["expected"]) for each in error.errors()]
    print("the openai package's type says:", found)
    assert found == [(("output", "type"), "literal_error", "'computer_screenshot'")]
END
