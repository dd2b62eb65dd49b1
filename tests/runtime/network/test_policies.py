"""The network policy of a container: read from a request, kept as text, bounded, and changed."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.containers.params import check_params
from agent_kernel.runtime.network.policy import (
    ContainerNetwork,
    in_effect,
    kept,
    read_policy,
    restored,
    standard,
    with_network,
)
from agent_kernel.runtime.network.secrets import read_secrets


def allowing(*entries: str) -> NetworkPolicy:
    return NetworkPolicy.parse(entries)


ALLOWLIST: dict[str, Any] = {"type": "allowlist"}
DOMAIN: dict[str, Any] = {**ALLOWLIST, "allowed_domains": ["a.example"]}
SECRET = {"domain": "a.example", "name": "KEY", "value": "hunter2-hunter2"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([], ""),
        ("disabled", ""),
        ({}, ".type"),
        ({"type": None}, ".type"),
        ({"type": "open"}, ".type"),
        ({"allowed_domains": ["a.example"]}, ".type"),
        ({"type": "disabled", "allowed_domains": ["a.example"]}, ".allowed_domains"),
        (ALLOWLIST, ".allowed_domains"),
        ({**ALLOWLIST, "allowed_domains": None}, ".allowed_domains"),
        ({**ALLOWLIST, "allowed_domains": []}, ".allowed_domains"),
        ({**ALLOWLIST, "allowed_domains": "a.example"}, ".allowed_domains"),
        ({**ALLOWLIST, "allowed_domains": {"a.example": 1}}, ".allowed_domains"),
        ({**ALLOWLIST, "allowed_domains": ["a.example", "*"]}, ".allowed_domains[1]"),
        ({**ALLOWLIST, "allowed_domains": ["https://a.example"]}, ".allowed_domains[0]"),
        ({**ALLOWLIST, "allowed_domains": ["127.0.0.1"]}, ".allowed_domains[0]"),
        ({**ALLOWLIST, "allowed_domains": [7]}, ".allowed_domains[0]"),
        ({**DOMAIN, "domain_secrets": "hunter2-hunter2"}, ".domain_secrets"),
        ({**DOMAIN, "domain_secrets": {"a.example": "hunter2-hunter2"}}, ".domain_secrets"),
        ({"type": "disabled", "domain_secrets": [SECRET]}, ".domain_secrets"),
        ({**DOMAIN, "domain_secrets": [SECRET] * 33}, ".domain_secrets"),
        ({**DOMAIN, "domain_secrets": ["hunter2-hunter2"]}, ".domain_secrets[0]"),
        ({**DOMAIN, "domain_secrets": [SECRET, SECRET]}, ".domain_secrets[1].name"),
        ({**DOMAIN, "domain_secrets": [{**SECRET, "header": "x"}]}, ".domain_secrets[0].header"),
        *(
            ({**DOMAIN, "domain_secrets": [{**SECRET, field: wrong}]}, f".domain_secrets[0].{field}")
            for field, values in {
                "domain": [None, 7, "", "b.example", "*.a.example", "a.example:443", "127.0.0.1", "a/b"],
                "name": [None, 7, "", "1A", "A-B", "A" * 65, "PATH", "ssl_cert_file", "HTTPS_PROXY"],
                "value": [
                    None,
                    7,
                    "",
                    "hunter2",
                    "hunter2-\nhunter2",
                    " hunter2-hunter2",
                    "ü" * 9,
                    "x" * 8193,
                ],
            }.items()
            for wrong in values
        ),
        ({**DOMAIN, "methods": ["GET"]}, ".methods"),
    ],
)
def test_wrong_policy_is_refused_at_its_place(given: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_params({"network_policy": given}, where="tools[0].environment.")
    assert refused.value.param == f"tools[0].environment.network_policy{param}"
    assert "hunter2" not in str(refused.value)


def test_absent_and_disabled_are_different() -> None:
    assert check_params({}).network is None
    assert check_params({"network_policy": None}).network is None
    assert check_params({"network_policy": {"type": "disabled"}}).network == NetworkPolicy()
    empty = {"type": "disabled", "allowed_domains": [], "domain_secrets": []}
    assert check_params({"network_policy": empty}).network == NetworkPolicy()
    given = {"type": "allowlist", "allowed_domains": ["A.example.", "*.b.example:8443"]}
    assert read_policy(given) == allowing("a.example", "*.b.example:8443")


def test_policy_that_asks_is_read_and_kept() -> None:
    bound = allowing("a.example", "tcp://db.internal:5432")
    empty: list[dict[str, Any]] = [{}, {"allowed_domains": None}, {"allowed_domains": []}]
    for domains in empty:
        assert read_policy({"type": "ask", **domains}) == NetworkPolicy((), asks=True)
    asked = read_policy({"type": "ask", "allowed_domains": ["a.example"]})
    assert asked == NetworkPolicy(allowing("a.example").rules, asks=True)
    for policy in (asked, NetworkPolicy((), asks=True)):
        network = ContainerNetwork.new(policy, bound)
        assert network == ContainerNetwork(policy, (22, 80, 443, 5432))
        text = network.as_json()
        assert ContainerNetwork.of_json(text) == network
        assert in_effect(text, bound) == restored(text, bound) == policy.to_json()
        assert in_effect(text, NetworkPolicy()) == {"type": "disabled"}
        assert network.changed(policy) == network
    assert standard(asked.to_json()) == allowing("a.example").to_json()
    assert standard({"type": "ask", "allowed_domains": []}) == {"type": "disabled"}
    with pytest.raises(InvalidRequest, match="nothing to ask about"):
        ContainerNetwork.new(asked, NetworkPolicy())
    with pytest.raises(InvalidRequest, match=r"does not allow b\.example"):
        ContainerNetwork.new(read_policy({"type": "ask", "allowed_domains": ["b.example"]}), bound)
    with pytest.raises(InvalidRequest, match="without a network"):
        ContainerNetwork().changed(NetworkPolicy((), asks=True))


@pytest.mark.parametrize("domains", [["*"], "a.example", {"a.example": 1}, [7]])
def test_wrong_policy_that_asks_is_refused(domains: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_policy({"type": "ask", "allowed_domains": domains})
    assert (refused.value.param or "").startswith("network_policy.allowed_domains")


@pytest.mark.parametrize("policy", [NetworkPolicy(), allowing("a.example"), allowing("tcp://10.0.0.1:5432")])
def test_network_comes_back_from_its_text(policy: NetworkPolicy) -> None:
    network = ContainerNetwork.new(policy, policy)
    assert ContainerNetwork.of_json(network.as_json()) == network
    assert (network.ports is None) == (not policy.rules)
    off = ContainerNetwork(NetworkPolicy(), (80, 443))
    assert ContainerNetwork.of_json(off.as_json()) == off


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        "7",
        '{"ports": [80]}',
        '{"policy": {"type": "disabled"}}',
        '{"policy": {"type": "disabled"}, "ports": ["80"]}',
        '{"policy": {"type": "disabled"}, "ports": 80}',
        '{"policy": {"type": "open"}, "ports": [80]}',
        '{"policy": {"type": "allowlist", "allowed_domains": ["*"]}, "ports": [80]}',
        '{"policy": [], "ports": [80]}',
        "[" * 100_000,
    ],
)
def test_damaged_text_means_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="not the network of a container"):
        ContainerNetwork.of_json(text)
    assert kept(text) == ContainerNetwork()
    assert (
        in_effect(text, allowing("a.example"))
        == restored(text, allowing("a.example"))
        == {"type": "disabled"}
    )


def test_earlier_policy_is_kept_within_todays_bound() -> None:
    wide = allowing("a.example", "b.example", "tcp://db.internal:5432")
    entries = ["a.example", "b.example:22", "tcp://db.internal:5432"]
    text = ContainerNetwork.new(allowing(*entries), wide).as_json()
    assert in_effect(text, wide)["allowed_domains"] == entries
    assert restored(text, wide) == in_effect(text, wide)
    assert in_effect(text, allowing("b.example"))["allowed_domains"] == ["b.example:22"]
    for narrow in (allowing("a.example:443"), NetworkPolicy()):
        assert in_effect(text, narrow) == {"type": "disabled"}
        assert restored(text, narrow) is None


def test_new_network_has_the_operators_ports() -> None:
    bound = allowing("a.example", "tcp://db.internal:5432", "tcp://dns.internal:53")
    assert ContainerNetwork.new(None, NetworkPolicy()) == ContainerNetwork()
    assert ContainerNetwork.new(NetworkPolicy(), bound) == ContainerNetwork()
    assert ContainerNetwork.new(None, bound) == ContainerNetwork(NetworkPolicy(), (22, 80, 443, 5432))
    asked = allowing("a.example:8443")
    assert ContainerNetwork.new(asked, bound) == ContainerNetwork(asked, (22, 80, 443, 5432, 8443))
    with pytest.raises(InvalidRequest, match="cannot be a port"):
        ContainerNetwork.new(allowing("tcp://dns.internal:53"), bound)


def test_changed_policy_brings_its_ports() -> None:
    network = ContainerNetwork.new(allowing("a.example"), allowing("a.example"))
    for policy in (allowing("b.example:443"), NetworkPolicy(), allowing("*.c.example", "d.example:80")):
        assert network.changed(policy) == ContainerNetwork(policy, network.ports)
    more = allowing("a.example:8443")
    assert network.changed(more) == ContainerNetwork(more, (22, 80, 443, 8443))
    assert network.changed(more).changed(NetworkPolicy()).ports == (22, 80, 443, 8443), "listeners stay"
    with pytest.raises(InvalidRequest, match="53 cannot be a port"):
        network.changed(allowing("tcp://dns.internal:53"))
    with pytest.raises(InvalidRequest, match="at most 64 different ports"):
        network.changed(allowing(*(f"a.example:{port}" for port in range(8000, 8062))))
    with pytest.raises(InvalidRequest, match="without a network"):
        ContainerNetwork().changed(allowing("a.example"))
    assert ContainerNetwork().changed(NetworkPolicy()) == ContainerNetwork()


def test_secrets_are_kept_without_their_values() -> None:
    asked = check_params({"network_policy": {**DOMAIN, "domain_secrets": [SECRET]}})
    (secret,) = asked.secrets
    assert (secret.domain, secret.name, secret.value) == ("a.example", "KEY", "hunter2-hunter2")
    assert "hunter2" not in repr(asked) + repr(secret)
    network = ContainerNetwork.new(asked.network, allowing("a.example"), asked.secrets)
    text = network.as_json()
    assert "hunter2" not in text + repr(network)
    assert ContainerNetwork.of_json(text) == network
    assert network.secrets[0].placeholder == secret.placeholder
    shown = in_effect(text, allowing("a.example"))
    assert shown["domain_secrets"] == [{"domain": "a.example", "name": "KEY"}]
    assert "- $KEY for a.example" in (with_network(None, shown) or "")
    assert "domain_secrets" not in in_effect(text, allowing("b.example"))


def test_kept_secret_needs_no_value() -> None:
    policy = allowing("a.example", "b.example")
    known = read_secrets([SECRET], policy, "s")
    without = {"domain": "A.example", "name": "KEY"}
    assert read_secrets([without], policy, "s", known) == known
    (changed,) = read_secrets([{**SECRET, "value": "another-value"}], policy, "s", known)
    assert (changed.placeholder, changed.value) == (known[0].placeholder, "another-value")
    for other in ({**without, "domain": "b.example"}, {**without, "name": "OTHER"}):
        with pytest.raises(InvalidRequest, match="value must be text"):
            read_secrets([other], policy, "s", known)


def test_instructions_list_the_allowed_hosts() -> None:
    assert with_network("Be brief.", {"type": "disabled"}) == "Be brief."
    many = {"type": "allowlist", "allowed_domains": [f"h{n}.example" for n in range(52)]}
    lines = (with_network("Be brief.", many) or "").splitlines()
    assert lines[:3] == ["Be brief.", "", "# Network"]
    assert lines[-2:] == ["- h49.example", "- and 2 more"]
    asks = {"type": "ask", "allowed_domains": []}
    assert "a person may be asked" in (with_network(None, asks) or "")
    asks["allowed_domains"] = ["a.example"]
    assert (with_network(None, asks) or "").splitlines()[-1] == "- a.example"


def test_read_only_hosts_need_a_certificate_authority() -> None:
    bound = NetworkPolicy.parse(["GET a.example"])
    assert ContainerNetwork(bound).reads(bound)
    assert ContainerNetwork(NetworkPolicy.asking()).reads(bound)
    assert not ContainerNetwork(NetworkPolicy.asking()).reads(NetworkPolicy.parse(["a.example"]))
    assert not ContainerNetwork(NetworkPolicy()).reads(bound)


def test_model_is_told_what_read_only_means() -> None:
    told = with_network(None, NetworkPolicy.parse(["GET a.example"]).to_json()) or ""
    assert "- GET a.example\n`GET` before a host means that it may only be read" in told
    assert "may only be read" not in (with_network(None, NetworkPolicy.parse(["a.example"]).to_json()) or "")
