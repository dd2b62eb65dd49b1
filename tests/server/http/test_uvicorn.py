"""Fails when uvicorn changes what server/connections.py uses. test_connections.py tests the behaviour."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib.metadata import version
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from agent_kernel.server import connections
from agent_kernel.server.connections import BoundedConnection, BoundedSocket
from tests.conftest import CHECKOUT

BASES = {BoundedConnection: H11Protocol, BoundedSocket: WebSocketsSansIOProtocol}
OWN: dict[Any, set[str]] = {
    BoundedConnection: {
        "_most",
        "_deadline",
        "_waits_for",
        "_wait_for",
        "_is_answered",
        "_too_late",
        "_refuse",
    },
    BoundedSocket: {"held", "_together"},
}


def test_minor_version_is_pinned_to_the_tested_one() -> None:
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (pin,) = [line for line in extras["serve"] if line.startswith("uvicorn")]
    match = re.fullmatch(r"uvicorn>=0\.(\d+),<0\.(\d+)", pin)
    assert match is not None
    least, below = map(int, match.groups())
    assert below == least + 1
    assert version("uvicorn").startswith(f"0.{least}.")


@pytest.mark.parametrize("cls", list(BASES))
def test_overridden_methods_have_uvicorns_signatures(cls: Any) -> None:
    theirs = vars(BASES[cls])
    overridden = [name for name in vars(cls) if callable(vars(cls)[name]) and name not in OWN[cls]]
    for name in set(overridden) - {"__init__"}:
        assert name in theirs, f"uvicorn has no {name} any more: it is never called"
        parameters = [list(inspect.signature(each[name]).parameters) for each in (vars(cls), theirs)]
        assert len(parameters[0]) == len(parameters[1]), name


@pytest.mark.parametrize("cls", list(BASES))
async def test_attributes_that_are_read_exist(cls: Any) -> None:
    """Every `self.x` in the class is ours, or uvicorn sets it in its constructor or class."""
    tree = ast.parse(inspect.getsource(cls))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    config = Config(connections._full, log_config=None)
    config.load()
    made = cls(config=config, server_state=ServerState(), app_state={})
    missing = [name for name in read - OWN[cls] if not hasattr(made, name)]
    assert not missing
