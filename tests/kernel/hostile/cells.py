"""Cells of code that attack: what they display, and how they end."""

from __future__ import annotations

SHOW = """
import json, sys

class Shown:
    def __init__(self, text, **forms):
        self.text, self.forms = text, forms

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {kind.replace("_", "/", 1): value for kind, value in self.forms.items()}
        return data, {self.text: self.text}

for text, is_markup in json.load(open("/mnt/data/samples.json"))[START:END]:
    print(text)
    print(text, file=sys.stderr)
    display(Shown(text, text_latex=text), Shown(text, text_markdown=text))
    if is_markup:
        svg = "<svg xmlns='http://www.w3.org/2000/svg'>" + text + "</svg>"
        display(Shown(text, text_html=text, text_plain=text), Shown(text, **{"image_svg+xml": svg}))
    chart = {"application_vnd.vegalite.v5+json": {"data": {"url": text}}, "application_javascript": text}
    display(Shown(text, image_png=text, text_plain=text, **chart))
raise type("E", (Exception,), {"__name__": text})(text)
"""
"""Displays samples in all forms; `[START:END]` stands for some of them."""

BATCH = 10
"""Samples of one cell: it may have 50 displays."""

_HTML = "def _repr_html_(self)"
_PRINTER = "class O:\n    def write(self, text): raise SystemExit('no output')\n"
_LATE = "def late():\n    time.sleep(1)\n    print('late' * 10)\nthread = threading.Thread(target=late)\n"
ENDS = {
    "huge": (
        "class H:\n    def __repr__(self): return '<script>top.__canary=1</script>' * 10**6\ndisplay(H())",
        "characters left out",
    ),
    "recursive": ("class R:\n    def __repr__(self): return repr(self)\ndisplay(R())", "RecursionError"),
    "nested": (f"class D:\n    {_HTML}: display(self)\ndisplay(D())", "D._repr_html_ failed: RecursionError"),
    "stdout": (f"{_PRINTER}import sys\nsys.stdout = O()\nprint(1)", "SystemExit"),
    "thread": (f"import threading, time\n{_LATE}thread.start()\nprint('started')", "started"),
    "after": ("thread.join()", "[41 characters that threads of earlier cells printed are left out]"),
    "exit": ("print('before', flush=True)\nimport os\nos._exit(9)", "The Python session ended (exit code 9)"),
}
"""Code that ends by itself, and what is told."""

FOREVER = {
    "endless": f"print('begun')\nclass E:\n    {_HTML}:\n        while True: pass\ndisplay(E())",
    "displays": "print('begun')\nwhile True: display(display)",
}
"""Code that a person must stop, once it has begun."""

BOMB = (
    "import os, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun', flush=True)\n"
    "while True:\n    try: os.fork()\n    except OSError: time.sleep(9)"
)
"""Takes all processes that the container may have, and cannot be interrupted."""
