"""A small shop with an order form, for 05_web_form.ipynb. Orders are in /mnt/data/orders.db."""

import html
import http.server
import sqlite3
import urllib.parse

DATABASE = "/mnt/data/orders.db"
FIELDS = ("name", "street", "city", "amount")
PAGE = """<!doctype html><meta charset="utf-8"><title>Lamps</title>
<style>body{{font:18px sans-serif;margin:40px;max-width:600px}}
label{{display:flex;justify-content:space-between;margin:14px 0}}
input{{font-size:18px;padding:6px;width:320px;caret-color:transparent}}
button{{font-size:18px;padding:8px 24px}}</style>
<h1>Lamps</h1>{body}"""
FORM = """<form method="post"><label>Name <input name="name" autofocus></label>
<label>Street <input name="street"></label><label>City <input name="city"></label>
<label>Lamps <input name="amount"></label><p><button>Order</button></p></form>"""
THANKS = "<p>Thank you, {name}. Your order has the number <b>{number}</b>.</p>"


class Shop(http.server.BaseHTTPRequestHandler):
    """Shows the form, and keeps what is sent."""

    def do_GET(self):
        self.answer(FORM)

    def do_POST(self):
        sent = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        values = [sent.get(field, [""])[0] for field in FIELDS]
        with sqlite3.connect(DATABASE) as orders:
            number = orders.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", values).lastrowid
        self.answer(THANKS.format(name=html.escape(values[0]), number=number))

    def answer(self, body):
        data = PAGE.format(body=body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


with sqlite3.connect(DATABASE) as orders:
    orders.execute(f"CREATE TABLE IF NOT EXISTS orders ({', '.join(FIELDS)})")
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Shop).serve_forever()
