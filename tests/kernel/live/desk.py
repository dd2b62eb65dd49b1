"""A page in the container. It reports what is typed, and turns green at one word. `python3 desk.py`."""

import http.server

PAGE = """<!doctype html><meta charset="utf-8"><title>Desk</title>
<style>body{margin:0;background:rgb(200,0,0)}
textarea{position:absolute;left:0;top:0;width:600px;height:200px}</style>
<textarea id="text"></textarea>
<script>
text.oninput = async () => {
  await fetch("/tell", {method: "POST", body: text.value});
  if (text.value === "Grüße") document.body.style.background = "rgb(0,200,0)";
};
</script>"""


class Pages(http.server.BaseHTTPRequestHandler):
    """Serves the page, and keeps the newest report."""

    def do_GET(self) -> None:
        """Serve the page."""
        self._answer(PAGE.encode())

    def do_POST(self) -> None:
        """Keep a report."""
        with open("/mnt/data/told", "wb") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Pages)
print("serving", flush=True)
server.serve_forever()
