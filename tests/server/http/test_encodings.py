"""Request bodies with a content encoding: decoded within the limit, or refused by name."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.uploads import JSON_LIMIT
from tests.server.keyed import Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

TURN = json.dumps({"model": "agent_kernel/shell", "input": "echo on", "tools": [{"type": "shell"}]}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    with keyed_server(tmp_path_factory.mktemp("data"), toolbox, {}) as server:
        yield server


def post(server: Keyed, content: bytes, encoding: str, path: str = "/v1/responses") -> httpx2.Response:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    return server.ask("", "POST", path, content=content, headers=headers)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_encoded_body_is_read(server: Keyed, encoding: str, encode: Callable[[bytes], bytes]) -> None:
    answer = post(server, encode(TURN), encoding)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "completed"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_other_encodings_are_refused(server: Keyed, encoding: str) -> None:
    answer = post(server, TURN, encoding)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_encoding"
    assert "Send gzip, deflate" in answer.json()["error"]["message"]


@pytest.mark.parametrize("content", [gzip.compress(TURN)[:-12], TURN, b""], ids=["cut", "plain", "empty"])
def test_damaged_bodies_are_refused(server: Keyed, content: bytes) -> None:
    answer = post(server, content, "gzip")
    assert answer.status_code == 400
    assert "not valid gzip" in answer.json()["error"]["message"]


def test_a_body_that_unpacks_beyond_the_limit_is_refused(server: Keyed) -> None:
    packed = gzip.compress(b'{"input": "' + b"a" * (JSON_LIMIT + 1) + b'"}')
    answer = post(server, packed, "gzip")
    assert answer.status_code == 413


def test_an_upload_has_no_encoding(server: Keyed, tmp_path: Path) -> None:
    files = {"file": ("a.csv", b"x\n1\n")}
    headers = {"Content-Encoding": "gzip"}
    answer = server.ask("", "POST", "/v1/files", files=files, data={"purpose": "user_data"}, headers=headers)
    assert answer.status_code == 415
