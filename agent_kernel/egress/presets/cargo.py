"""The preset `cargo`: the registries of Cargo's configuration, or the one that Cargo has by default."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, sites
from agent_kernel.egress.presets.operator import Operator

_MANIFEST = '[package]\nname = "ask"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\ncfg-if = "*"\n'
_CONNECT = re.compile(rb"CONNECT ([\w.-]{1,253}:\d{1,5}) HTTP/1\.")
_REGISTRY_VARIABLE = re.compile(r"CARGO_REGISTRIES_\w+_INDEX")
_PROXY_SECONDS = 5.0
_HINT = "Set a source or a registry in Cargo's config.toml."


def read(operator: Operator) -> Sequence[Index]:
    """Return the registries. Raises `NoHosts`."""
    found = sites(_registries(operator))
    if not found:
        why = "Cargo did not name a registry" if operator.program("cargo") else "Cargo is not installed"
        raise NoHosts(why, _HINT)
    return [Index(site, (IndexQuestion("config.json", _downloads),)) for site in found]


def _registries(operator: Operator) -> Iterator[str]:
    home = Path(operator.environment.get("CARGO_HOME") or operator.home / ".cargo")
    text = operator.text(home / "config.toml") or operator.text(home / "config")
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise NoHosts(f"{home / 'config.toml'} is not valid TOML", _HINT) from None
    sources, registries = _table(written, "source"), _table(written, "registries")
    listed = [_table(each, "index") for each in registries.values()] + [
        value for name, value in operator.environment.items() if _REGISTRY_VARIABLE.fullmatch(name)
    ]
    yield from (url.removeprefix("sparse+") for url in listed if isinstance(url, str))
    chosen = _chosen(sources)
    if chosen is None:
        yield from _default(operator)
    elif isinstance(registry := chosen.get("registry"), str):
        yield registry.removeprefix("sparse+")


def _table(table: object, name: str) -> Any:
    found = table.get(name) if isinstance(table, Mapping) else None
    return {} if found is None else found


def _chosen(sources: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the source that replaces the default one; None if none does."""
    name, source = "crates-io", None
    for _ in range(len(sources) + 1):
        following = _table(_table(sources, name), "replace-with")
        if not isinstance(following, str):
            break
        name, source = following, _table(sources, following)
    return source if isinstance(source, Mapping) else None


def _default(operator: Operator) -> Iterator[str]:
    """Let Cargo begin a download through a proxy that refuses it, to see which host it would connect to."""
    cargo = operator.program("cargo")
    if cargo is None:
        return
    with tempfile.TemporaryDirectory() as folder, _refusing_proxy() as (address, asked):
        Path(folder, "src").mkdir()
        Path(folder, "src", "lib.rs").touch()
        Path(folder, "Cargo.toml").write_text(_MANIFEST)
        command = [cargo, "fetch", "--manifest-path", f"{folder}/Cargo.toml"]
        own = {"CARGO_HOME": f"{folder}/home", "CARGO_HTTP_PROXY": address, "CARGO_NET_RETRY": "0"}
        operator.run(command, RUSTUP_AUTO_INSTALL="0", **own)
        yield from asked[:1]


@contextlib.contextmanager
def _refusing_proxy() -> Iterator[tuple[str, list[str]]]:
    """Listen on loopback as an HTTP proxy that refuses everything. Yield its URL, and what it was asked."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        waiting = threading.Thread(target=_refuse, args=(listening, asked), daemon=True)
        waiting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            waiting.join()


def _refuse(listening: socket.socket, asked: list[str]) -> None:
    """Answer one connection. It ends when `listening` is shut down."""
    with contextlib.suppress(OSError):  # shut down, or Cargo went away: `asked` stays empty
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(_PROXY_SECONDS)
            if found := _CONNECT.match(connection.recv(4096)):
                asked.append(f"https://{found[1].decode()}/")
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def _downloads(page: str) -> Iterator[str]:
    """Yield where the packages are: the address in an index's `config.json`, without its variables."""
    try:
        found = json.loads(page)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict) and isinstance(url := found.get("dl"), str):
        yield re.sub(r"/?\{.*", "", url)
