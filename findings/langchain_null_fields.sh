#!/bin/sh
# langchain-openai 1.7.3, openai 3.57.0: items of a response with a null go back without that field.
#
# Seen on 2026-11-30, with `use_responses_api=True` and `output_version="responses/v1"`: OpenAI's API sends null in
# required fields, such as `outputs` of a code_interpreter_call that was not asked for its outputs, and `call_id` of a
# tool_search_call of the server. The next request of the same conversation has these items without the fields, so
# they are not what the openai package's own types allow: there the fields are required, and may be null.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langchain-openai==1.7.3 openai==3.57.0
"$folder/venv/bin/python" - <<'END'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai.types.responses import ResponseCodeInterpreterToolCallParam
from pydantic import TypeAdapter, ValidationError

CODE = {
    "type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "cntr_1",
    "outputs": None,
}
SEARCH = {
    "type": "tool_search_call", "id": "tsc_1", "call_id": None, "execution": "server", "arguments": {},
    "status": "completed",
}
asked = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        text = {"type": "output_text", "text": "Done.", "annotations": []}
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
        output = [CODE, SEARCH, message] if len(asked) == 1 else [message]
        response = {
            "id": f"resp_{len(asked)}", "object": "response", "created_at": 1, "model": "m", "status": "completed",
            "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
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
history = [HumanMessage("Go.")]
history.append(model.invoke(history))
model.invoke([*history, HumanMessage("On.")])
back = {item["type"]: item for item in asked[1]["input"] if "type" in item}
for sent in (CODE, SEARCH):
    missing = sorted(set(sent) - set(back[sent["type"]]))
    print(sent["type"], "comes back without", missing)
    assert missing == [name for name, value in sent.items() if value is None]
try:
    TypeAdapter(ResponseCodeInterpreterToolCallParam).validate_python(back["code_interpreter_call"])
    raise SystemExit("the openai package's type allows it")
except ValidationError as error:
    found = [(each["loc"], each["type"]) for each in error.errors()]
    print("the openai package's type says:", found)
    assert found == [(("outputs",), "missing")]
END
