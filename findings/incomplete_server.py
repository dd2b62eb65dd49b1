"""A Responses API on loopback whose only answer is cut off at `max_output_tokens`, as documented."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = {"type": "output_text", "text": "The first half of", "annotations": [], "logprobs": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "incomplete", "content": [TEXT]}
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}


def response(status: str, output: list) -> dict:
    """Return a response object; an incomplete one says why."""
    ended = status == "incomplete"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": status,
        "output": output,
        "incomplete_details": {"reason": "max_output_tokens"} if ended else None,
        "error": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": USAGE if ended else None,
    }


def events() -> list:
    """Return the documented event order of an answer that is cut off."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    opened = {**MESSAGE, "status": "in_progress", "content": []}
    return [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        {"type": "response.content_part.added", **place, "part": {**TEXT, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": TEXT["text"], "logprobs": []},
        {"type": "response.output_text.done", **place, "text": TEXT["text"], "logprobs": []},
        {"type": "response.content_part.done", **place, "part": TEXT},
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        {"type": "response.incomplete", "response": response("incomplete", [MESSAGE])},
    ]


class Handler(BaseHTTPRequestHandler):
    """Answers any POST, streamed or not."""

    def log_message(self, *_: object) -> None:
        """Keep the output for the findings."""

    def do_POST(self) -> None:
        """Send the response, as events if the body asks for a stream."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind, data = "application/json", json.dumps(response("incomplete", [MESSAGE])).encode()
        if body.get("stream"):
            numbered = [{**event, "sequence_number": number} for number, event in enumerate(events())]
            kind = "text/event-stream"
            data = b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in numbered)
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve() -> str:
    """Serve until the process ends; return the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"
