"""The two ends of what is measured: a server, and a client that runs on the host or inside a sandbox."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SERVER = """
import socket, threading
block = bytes(1 << 20)
def serve(connected):
    with connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = b""
        while b"\\r\\n\\r\\n" not in asked:
            piece = connected.recv(1 << 16)
            if not piece:
                return
            asked += piece
        left = int(asked.split(b" ")[1].rpartition(b"/")[2])
        head = b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n"
        connected.sendall(head % left)
        while left:
            left -= connected.send(memoryview(block)[:left])
def quietly(connected):
    try:
        serve(connected)
    except ConnectionError:
        pass
listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listening.getsockname()[1], flush=True)
while True:
    threading.Thread(target=quietly, args=(listening.accept()[0],), daemon=True).start()
"""
"""A thread per connection sends as many bytes as the path asks for, from one block."""

CLIENT = """
import json, socket, statistics, sys, threading, time
host, port, proxy, what, size, count = json.loads(sys.argv[1])
buffers = threading.local()
def fetch(size):
    asked = time.perf_counter()
    address = tuple(proxy) if proxy else socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    began = time.perf_counter()
    with socket.create_connection(address, 60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy:
            s.sendall(b"CONNECT %s:%d HTTP/1.1\\r\\nHost: %s:%d\\r\\n\\r\\n" % ((host.encode(), port) * 2))
            head = b""
            while b"\\r\\n\\r\\n" not in head:
                piece = s.recv(1 << 16)
                assert piece, head
                head += piece
            assert b" 200 " in head.split(b"\\r\\n")[0], head
        s.sendall(b"GET /%d HTTP/1.1\\r\\nHost: %s:%d\\r\\n\\r\\n" % (size, host.encode(), port))
        buffer = buffers.__dict__.setdefault("buffer", bytearray(1 << 18))
        got = first = 0
        while True:
            piece = s.recv_into(buffer)
            first = first or time.perf_counter() - began
            if not piece:
                break
            got += piece
    assert size <= got <= size + 500, (size, got)
    return first, began - asked
if host.endswith(".internal"):
    fetch(1)  # the name has its address from now on
if what in ("set-up", "name"):
    print(statistics.median(fetch(1)[what == "name"] for _ in range(count)))
else:
    began = time.perf_counter()
    failures = []
    def one():
        try:
            fetch(size)
        except Exception as error:
            failures.append(error)
    threads = [threading.Thread(target=one) for _ in range(count)]
    for each in threads: each.start()
    for each in threads: each.join()
    assert not failures, (len(failures), failures[0])
    print(time.perf_counter() - began)
"""
"""Prints seconds: of `count` downloads of `size` bytes at once, or the median of `count` from a connection's
begin to its first byte, or of `count` look-ups of the name before that."""


@contextmanager
def server() -> Iterator[int]:
    """Run the server in a process, and yield its port."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()
