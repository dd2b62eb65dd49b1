"""A web application inside the container whose pages report what reaches them. Run as `python3 app.py`."""

import http.server
import json

HOME = """<!doctype html><meta charset="utf-8"><title>Probe</title>
<style>body{margin:0;font:16px sans-serif} #long{position:absolute;left:640px;top:0;width:600px;height:300px;overflow:scroll}
textarea{position:absolute;left:0;top:0;width:600px;height:200px} button{position:absolute;left:0;top:220px;width:200px;height:60px}
#pad{position:absolute;left:0;top:320px;width:600px;height:300px;background:#def}</style>
<textarea id="text"></textarea><button id="button">Press</button><div id="pad"></div>
<div id="long"><div style="height:5000px;width:3000px;background:linear-gradient(red,blue)"></div></div>
<script>
const tell = (kind, data) => fetch("/tell", {method: "POST", body: JSON.stringify({kind, ...data})});
const mods = e => ["ctrlKey", "shiftKey", "altKey"].filter(k => e[k]).map(k => k.slice(0, -3));
text.oninput = () => tell("text", {value: text.value});
onkeydown = e => tell("key", {key: e.key, code: e.code, mods: mods(e)});
for (const kind of ["click", "dblclick", "auxclick", "contextmenu"])
  button.addEventListener(kind, e => { e.preventDefault(); tell(kind, {button: e.button, x: e.clientX, y: e.clientY, mods: mods(e)}) });
let path = null; pad.onmousedown = e => e.preventDefault(); // no selection

pad.onpointerdown = e => { path = [[e.offsetX, e.offsetY]]; pad.setPointerCapture(e.pointerId) };
pad.onpointermove = e => path && e.getCoalescedEvents().forEach(each => path.push([each.clientX, each.clientY - 320]));
pad.onpointerup = e => { tell("drag", {path, mods: mods(e)}); path = null };
let still; long.onscroll = () => { clearTimeout(still); still = setTimeout(() => tell("scroll", {top: long.scrollTop, left: long.scrollLeft}), 200) };
addEventListener("mousemove", e => tell("place", {left: e.screenX - e.clientX, top: e.screenY - e.clientY}), {once: true});
tell("ready", {width: screen.width, height: screen.height, ratio: devicePixelRatio, language: navigator.language});
</script>"""


class Pages(http.server.BaseHTTPRequestHandler):
    """Serves the page, and writes each report as a line of JSON."""

    def do_GET(self) -> None:
        """Serve the page."""
        self._answer(HOME.encode())

    def do_POST(self) -> None:
        """Keep a report."""
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/mnt/data/told.jsonl", "a") as file:
            file.write(json.dumps(told) + "\n")
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Pages).serve_forever()
