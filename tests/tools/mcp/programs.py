"""Public MCP servers from npm: as processes on loopback, and as a folder that a container can mount."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.clients.node import PACKAGES, environment, find_node

MODULES = PACKAGES / "node_modules"
EVERYTHING = "@modelcontextprotocol/server-everything"
FILESYSTEM = "@modelcontextprotocol/server-filesystem"


@contextmanager
def everything(transport: str) -> Iterator[str]:
    """The reference server with this transport; yields its address. Its process chooses the port."""
    node = find_node()
    words = [str(node), str(MODULES / EVERYTHING / "dist" / "index.js"), transport]
    with subprocess.Popen(
        words,
        env=environment(node, PORT="0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "port" in line.lower():
                    break
            listening = [
                each.laddr.port
                for each in psutil.Process(process.pid).net_connections("tcp")
                if each.status == psutil.CONN_LISTEN
            ]
            yield f"http://127.0.0.1:{listening[0]}"
        finally:
            process.kill()


def folder_of(folder: Path, *packages: str) -> Path:
    """Put Node and packages with all that they need into a folder that a container can mount."""
    folder.mkdir()
    _link(find_node(), folder / "node")
    waiting, seen = list(packages), set[str]()
    while waiting:
        name = waiting.pop()
        source = MODULES / name
        if name in seen or not source.is_dir():
            continue
        seen.add(name)
        shutil.copytree(source, folder / "node_modules" / name, copy_function=_link)
        waiting += json.loads((source / "package.json").read_text()).get("dependencies", {})
    return folder


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
