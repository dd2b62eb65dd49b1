"""The operator's policy with presets, and requests that name presets within it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.presets.ask import Route
from agent_kernel.egress.presets.operator import Operator
from agent_kernel.egress.presets.presets import Presets
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.network.bound import NetworkBound
from agent_kernel.runtime.network.policy import read_policy

HOSTS = ["npm.example.org:443", "*.apart.example"]


def bound(home: Path, *entries: str) -> NetworkBound:
    """The bound of an operator whose npm is configured, and whose go is not. No name has an address."""

    async def silent(name: str) -> list[object]:
        asked.append(name)
        raise OSError(None, "no such name")

    asked: list[str] = []
    (home / ".npmrc").write_text("registry=https://npm.example.org/\n")
    policy = NetworkPolicy.parse(entries) if entries else NetworkPolicy()
    route = Route(policy.rules, silent)  # type: ignore[arg-type]
    made = NetworkBound(policy, Presets(Operator({"HOME": str(home)}), route))
    made.asked = asked  # type: ignore[attr-defined]
    return made


async def narrowed(made: NetworkBound, *entries: str) -> list[str]:
    found = await made.narrowed(NetworkPolicy.parse(entries), param="where")
    assert found.presets == ()
    return [str(rule) for rule in found.rules]


async def test_bound_has_the_hosts_of_its_presets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = bound(tmp_path, "npm", "api.example.org")
    await made.read()
    assert [record.message for record in caplog.records] == [
        "The operator's network policy: The preset npm may lack hosts: "
        "npm.example.org:443 did not answer: no such name."
    ]
    assert [str(rule) for rule in (await made.known()).rules] == ["api.example.org", "npm.example.org:443"]
    offered = ["npm", "api.example.org", "npm.example.org:443"]
    assert await made.offered() == {"type": "allowlist", "allowed_domains": offered}
    assert made.variables == {"NPM_CONFIG_REGISTRY": "https://npm.example.org/"}
    assert await narrowed(made, "npm") == ["npm.example.org:443"]
    assert await narrowed(made, "npm.example.org:443") == ["npm.example.org:443"]
    assert await narrowed(made, "NPM", "api.example.org:443") == [
        "api.example.org:443",
        "npm.example.org:443",
    ]


async def test_policy_that_asks_has_presets_too(tmp_path: Path) -> None:
    asked = read_policy({"type": "ask", "allowed_domains": ["npm"]})
    found = await bound(tmp_path, "npm", "*.example.org").narrowed(asked)
    assert (found.asks, list(map(str, found.rules))) == (True, ["npm.example.org:443"])


@pytest.mark.parametrize("own", ["npm.example.org", "npm.example.org:443", "*.example.org"])
async def test_preset_is_allowed_by_the_very_hosts(tmp_path: Path, own: str) -> None:
    assert await narrowed(bound(tmp_path, own), "npm") == ["npm.example.org:443"]


async def test_private_mirror_needs_the_operators_entry(tmp_path: Path) -> None:
    made = bound(tmp_path, "npm", "tcp://npm.example.org:443")
    assert await narrowed(made, "npm") == ["tcp://npm.example.org:443"]


@pytest.mark.parametrize(
    ("own", "hint"),
    [
        ([], "no network"),
        (["pip.example.org"], "npm.example.org:443. It allows: pip.example.org."),
        (["npm.example.org:80"], "npm.example.org:443"),
    ],
)
async def test_preset_wider_than_the_operators_is_refused(tmp_path: Path, own: list[str], hint: str) -> None:
    made = bound(tmp_path, *own)
    with pytest.raises(InvalidRequest, match="does not allow the preset npm") as refused:
        await narrowed(made, "npm")
    assert (refused.value.param, refused.value.request_code) == ("where", "network_policy_not_allowed")
    assert hint in (refused.value.hint or "")
    assert made.asked == []  # type: ignore[attr-defined]


async def test_preset_without_hosts_allows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = bound(tmp_path, "go", "api.example.org")
    for _ in range(2):
        assert [str(rule) for rule in (await made.read()).rules] == ["api.example.org"]
    assert [record.message for record in caplog.records] == [
        "The operator's network policy: The preset go names no host on this machine: Go is not installed."
    ]
    with pytest.raises(InvalidRequest, match="Go is not installed") as refused:
        await narrowed(made, "go")
    assert refused.value.param == "where"
    with pytest.raises(InvalidRequest, match="Go is not installed"):
        await narrowed(bound(tmp_path, "api.example.org"), "go")


def test_unexpanded_presets_allow_nothing() -> None:
    policy = NetworkPolicy.parse(["pip"])
    assert policy.decide("pip", 443).rule is None
    for inner, outer in ((policy, NetworkPolicy()), (NetworkPolicy(), policy)):
        with pytest.raises(ValueError, match="after its presets are expanded"):
            inner.narrowed(outer)
