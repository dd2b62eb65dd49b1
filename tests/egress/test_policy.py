from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.egress.names import UnusableName, canonical, literal, shown
from agent_kernel.egress.policy import NetworkPolicy, NetworkRule, entries_in
from agent_kernel.errors import InvalidRequest

OPERATOR = [
    *("api.example.org", "*.example.com:443", "tcp://db.internal:5432", "tcp://[fd00::1]:22"),
    "GET read.example",
]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example。", "xn--bcher-kva.example"),
        ("_srv.my_host.example", "_srv.my_host.example"),
        ("db", "db"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("0x7f.example", "0x7f.example"),
    ],
)
def test_canonical_name(text: str, name: str) -> None:
    assert canonical(text) == name
    assert canonical(name) == name


NOT_NAMES = [
    *("127.0.0.1", "127.1", "127.0.0.1.", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2852039166", "0"),
    *("017700000001", "1.2.3.0x", "example.0x7f", "１２７.0.0.1", "127。0。0。1", "①.1", "::1", "[::1]"),
    *("::ffff:127.0.0.1", "fe80::1%eth0", "127.0.0.1%0", "fe80::1%25lo", "64:ff9b::7f00:1", "example.org:80"),
    *(
        "example.org\0.evil.example",
        "example.org\r\nHost: evil",
        "example .org",
        "example.org\t",
        "\u202eorg",
    ),
    *("", ".", "..", "a..b", ".example.org", "example.org..", "-a.example", "a-.example", "a" * 64, "a/b"),
    *(
        ".".join(["a" * 60] * 5),
        "a" * 300,
        "user@example.org",
        "*.example.org",
        "a*b.example",
        "exa\udcffmple",
    ),
    *(
        "example.org#",
        "example\\.org",
        "ex%61mple.org",
        "\u200b.example",
        "a\u00ad",
        "xn--\u00fc.example",
        "ℂ:1",
    ),
]


@pytest.mark.parametrize("text", NOT_NAMES)
def test_not_a_host_name(text: str) -> None:
    with pytest.raises(UnusableName) as caught:
        canonical(text)
    assert str(caught.value).isprintable()
    decision = NetworkPolicy.parse(["example.org", "*.example.org", "evil.example"]).decide(text, 443)
    assert decision.rule is None
    assert decision.name.isprintable()
    assert decision.reason.isprintable()


@given(st.text(max_size=300))
def test_any_text_is_refused_or_stable(text: str) -> None:
    assert shown(text).isprintable()
    try:
        name = canonical(text)
    except UnusableName:
        return
    assert canonical(name) == name
    assert literal(name) is None


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("Example.org", NetworkRule("example.org")),
        ("example.org:8443", NetworkRule("example.org", port=8443)),
        ("*.Example.org", NetworkRule("example.org", wildcard=True)),
        ("*.example.org:443", NetworkRule("example.org", wildcard=True, port=443)),
        ("tcp://db:5432", NetworkRule("db", port=5432, private=True)),
        ("TCP://10.0.0.5:5432", NetworkRule("10.0.0.5", port=5432, private=True)),
        ("tcp://[fd00::1]:5432", NetworkRule("fd00::1", port=5432, private=True)),
        ("bücher.example", NetworkRule("xn--bcher-kva.example")),
        ("GET Example.org", NetworkRule("example.org", read_only=True)),
        ("GET example.org:8443", NetworkRule("example.org", port=8443, read_only=True)),
    ],
)
def test_entry_is_read(entry: str, rule: NetworkRule) -> None:
    policy = NetworkPolicy.parse([entry])
    assert policy.rules == (rule,)
    assert NetworkPolicy.parse([str(rule)]) == policy
    assert NetworkPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


@pytest.mark.parametrize(
    "entry",
    [
        *("", "*", "*.", "*.com", "*example.org", "a.*.example", "https://example.org", "example.org/path"),
        *("example.org:", "example.org:0", "example.org:65536", "example.org:+1", "example.org:１", "a:1:2"),
        *(
            "tcp://db",
            "tcp://*.corp.example:5432",
            "tcp://127.1:80",
            "tcp://[127.0.0.1]:80",
            "tcp://[::1",
            "tcp://",
        ),
        *("10.0.0.5", "10.0.0.5:80", "[fd00::1]:80", "tcp://[fe80::1%eth0]:80", "tcp://[::ffff:a00:5]x:80"),
        *(
            "exa\nmple.org",
            "example.org ",
            "udp://example.org:53",
            "tcp://0x7f000001:80",
            "tcp://[FD00::1]:80",
        ),
        *("GET", "GET ", "GET *.example.org", "GET tcp://db.example.org:5432", "GET pip", "GET db:443"),
        *(
            "get example.org",
            "POST example.org",
            "GET  example.org",
            "GET\texample.org",
            "GET GET example.org",
        ),
        *(7, None, ["example.org"], "x" * 5000),
    ],
)
def test_malformed_entry_is_refused(entry: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        NetworkPolicy.parse(["example.org", entry])  # type: ignore[list-item]
    assert caught.value.param == "network_policy.allowed_domains[1]"
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_presets_are_entries() -> None:
    policy = NetworkPolicy.parse(["PIP", "example.org", "pip", "npm"])
    assert policy == NetworkPolicy((NetworkRule("example.org"),), ("pip", "npm"))
    assert policy.to_json()["allowed_domains"] == ["pip", "npm", "example.org"]
    assert NetworkPolicy.from_json(policy.to_json()) == policy
    expanded = policy.expanded({"pip": [NetworkRule("a.test"), NetworkRule("example.org")], "npm": []})
    assert expanded == NetworkPolicy((NetworkRule("example.org"), NetworkRule("a.test")))


@pytest.mark.parametrize("entry", ["pypi", "db", "localhost", "pip-tools", "Conda_forge"])
def test_unknown_preset_is_refused(entry: str) -> None:
    with pytest.raises(InvalidRequest, match=f"There is no preset `{entry}`") as caught:
        NetworkPolicy.parse(["pip", entry])
    assert caught.value.param == "network_policy.allowed_domains[1]"
    assert caught.value.request_code == "unknown_network_preset"
    assert "The presets are apt, cargo, conda, cran, git, go, npm, pip." in (caught.value.hint or "")


@pytest.mark.parametrize("entries", [[], "example.org", None, {"example.org": 1}, ["a.example"] * 1001])
def test_malformed_list_is_refused(entries: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        NetworkPolicy.parse(entries)  # type: ignore[arg-type]
    assert caught.value.param == "network_policy.allowed_domains"


@pytest.mark.parametrize(
    ("name", "port", "entry"),
    [
        ("api.example.org", 443, "api.example.org"),
        ("API.example.org.", 5000, "api.example.org"),
        ("a.b.example.com", 443, "*.example.com:443"),
        ("db.internal", 5432, "tcp://db.internal:5432"),
        ("fd00::1", 22, "tcp://[fd00::1]:22"),
        ("[fd00::1]", 22, "tcp://[fd00::1]:22"),
    ],
)
def test_allowed_destination(name: str, port: int, entry: str) -> None:
    decision = NetworkPolicy.parse(OPERATOR).decide(name, port)
    assert str(decision.rule) == entry


@pytest.mark.parametrize(
    ("name", "port", "reason"),
    [
        ("example.org", 443, "not in the allowlist"),
        ("evilapi.example.org", 443, "not in the allowlist"),
        ("api.example.org.evil.example", 443, "not in the allowlist"),
        ("evilexample.com", 443, "not in the allowlist"),
        ("example.com", 443, "not in the allowlist"),
        ("a.example.com", 80, "port 80 of this host is not in the allowlist"),
        ("db.internal", 5433, "port 5433 of this host is not in the allowlist"),
        ("fd00:0::1", 22, "an address is not a host name"),
        ("fd00::2", 22, "not in the allowlist"),
        ("169.254.169.254", 80, "not in the allowlist"),
        ("0xa9fea9fe", 80, "an address is not a host name"),
    ],
)
def test_refused_destination(name: str, port: int, reason: str) -> None:
    decision = NetworkPolicy.parse(OPERATOR).decide(name, port)
    assert (decision.rule, decision.reason) == (None, reason)


def test_empty_policy_refuses_everything() -> None:
    assert NetworkPolicy().decide("example.org", 443).rule is None
    assert NetworkPolicy.from_json(NetworkPolicy().to_json()) == NetworkPolicy()


def test_private_rule_wins_over_a_wildcard() -> None:
    policy = NetworkPolicy.parse(["*.example.org", "tcp://db.example.org:5432"])
    decision = policy.decide("db.example.org", 5432)
    assert decision.rule is not None
    assert decision.rule.private


@pytest.mark.parametrize("whole", ["a.example.org", "a.example.org:443", "*.example.org"])
def test_whole_rule_wins_over_a_read_only_one(whole: str) -> None:
    policy = NetworkPolicy.parse(["GET a.example.org", whole])
    assert str(policy.decide("a.example.org", 443).rule) == whole
    only = "GET a.example.org" if ":" in whole else whole
    assert str(policy.decide("a.example.org", 8080).rule) == only


def test_read_only_rule_allows_methods_of_reading() -> None:
    rule = NetworkRule("example.org", read_only=True)
    assert [rule.forbids(method) for method in (b"GET", b"HEAD", b"OPTIONS")] == [None] * 3
    for method in (b"POST", b"get", b"GET ", b"", b"\xff\n" * 999):
        assert "the rule `GET example.org` allows only GET, HEAD and OPTIONS" in (rule.forbids(method) or "")
        assert len(rule.forbids(method) or "") < 200
    assert NetworkRule("example.org").forbids(b"POST") is None


def test_get_belongs_to_the_word_after_it() -> None:
    assert entries_in(["pip", "GET", "a.example", "b.example", "GET"]) == [
        "pip",
        "GET a.example",
        "b.example",
        "GET",
    ]


def test_transparent_ports() -> None:
    assert NetworkPolicy.parse(OPERATOR).ports == (22, 80, 443, 5432)


@pytest.mark.parametrize(
    ("inner", "result"),
    [
        ("api.example.org", "api.example.org"),
        ("api.example.org:8080", "api.example.org:8080"),
        ("*.example.com:443", "*.example.com:443"),
        ("*.deep.example.com:443", "*.deep.example.com:443"),
        ("a.example.com:443", "a.example.com:443"),
        ("tcp://db.internal:5432", "tcp://db.internal:5432"),
        ("db.internal:5432", "tcp://db.internal:5432"),
        ("GET api.example.org", "GET api.example.org"),
        ("GET a.example.com:443", "GET a.example.com:443"),
        ("GET read.example:8443", "GET read.example:8443"),
    ],
)
def test_narrower_policy(inner: str, result: str) -> None:
    narrowed = NetworkPolicy.parse([inner]).narrowed(NetworkPolicy.parse(OPERATOR))
    assert [str(rule) for rule in narrowed.rules] == [result]


@pytest.mark.parametrize(
    "inner",
    [
        *("example.org", "*.api.example.org", "*.example.org", "*.example.com", "example.com:443"),
        *(
            "a.example.com",
            "a.example.com:80",
            "db.internal",
            "db.internal:5433",
            "tcp://api.example.org:443",
        ),
        *("tcp://a.example.com:443", "tcp://10.0.0.5:5432", "evilexample.com:443"),
        *("read.example", "read.example:443", "GET a.example.com", "tcp://read.example:443"),
    ],
)
def test_wider_policy_is_refused(inner: str) -> None:
    with pytest.raises(InvalidRequest, match="does not allow") as caught:
        NetworkPolicy.parse(["api.example.org", inner]).narrowed(NetworkPolicy.parse(OPERATOR))
    assert caught.value.param == "network_policy.allowed_domains"
    with pytest.raises(InvalidRequest, match="no network"):
        NetworkPolicy.parse([inner]).narrowed(NetworkPolicy())


def test_private_service_is_never_read_only() -> None:
    with pytest.raises(InvalidRequest, match="is a private service, which cannot be limited to reading"):
        NetworkPolicy.parse(["GET db.internal:5432"]).narrowed(NetworkPolicy.parse(OPERATOR))


NAMES = st.sampled_from(["example.org", "a.example.org", "b.a.example.org", "evil.example", "db"])
ENTRIES = st.lists(
    st.builds(
        lambda prefix, name, port: f"{prefix}{name}{port}",
        st.sampled_from(["", "*.", "GET "]),
        NAMES.filter(lambda name: "." in name),
        st.sampled_from(["", ":443", ":80"]),
    ),
    min_size=1,
    max_size=4,
)


@given(ENTRIES, ENTRIES, NAMES, st.sampled_from([80, 443, 22]))
def test_narrowing_never_widens(inner: list[str], outer: list[str], name: str, port: int) -> None:
    bound = NetworkPolicy.parse(outer)
    try:
        narrowed = NetworkPolicy.parse(inner).narrowed(bound)
    except InvalidRequest:
        return
    if rule := narrowed.decide(name, port).rule:
        outer_rule = bound.decide(name, port).rule
        assert outer_rule
        assert rule.read_only or not outer_rule.read_only


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"type": "allowlist"},
        {"type": "allowlist", "allowed_domains": []},
        {"type": "open"},
        {"type": "ask"},
        {"type": "ask", "allowed_domains": "a.example"},
        {"type": "disabled", "x": 1},
    ],
)
def test_malformed_stored_policy_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        NetworkPolicy.from_json(value)


def test_policy_that_asks_decides_as_its_allowlist() -> None:
    policy = NetworkPolicy.asking(["api.example.org"])
    assert policy.decide("other.example", 443) == NetworkPolicy.parse(["api.example.org"]).decide(
        "other.example", 443
    )
    assert NetworkPolicy.from_json(policy.to_json()) == policy
    assert policy.narrowed(NetworkPolicy.parse(OPERATOR)) == policy


def test_destination_is_one_name_and_port() -> None:
    operator = NetworkPolicy.parse(OPERATOR)
    assert operator.destination("a.example.com", 443) == NetworkRule("a.example.com", port=443)
    assert operator.destination("db.internal", 5432) == NetworkRule("db.internal", port=5432, private=True)
    assert operator.destination("read.example", 80) == NetworkRule("read.example", port=80, read_only=True)
    assert operator.destination("fd00::1", 22) == NetworkRule("fd00::1", port=22, private=True)
    for name, port in (
        ("example.com", 443),
        ("a.example.com", 80),
        ("A.example.com", 443),
        ("127.0.0.1", 80),
    ):
        assert operator.destination(name, port) is None
