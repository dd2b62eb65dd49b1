"""What an index names is followed, within bounds, and only if the answer can be trusted."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from agent_kernel.egress.presets import cargo, npm, pip
from agent_kernel.egress.presets.ask import MAX_PAGE
from agent_kernel.egress.presets.follow import MAX_HOSTS, Followed, follow
from agent_kernel.egress.presets.index import Index, IndexQuestion, Site
from tests.egress.presets.world import World

PIP = IndexQuestion("pip/", pip._links, "text/html")


def index(url: str, *questions: IndexQuestion) -> Index:
    site = Site.of(url)
    assert site is not None
    return Index(site, questions)


async def names(world: World, index: Index, *private: str) -> tuple[list[str], str | None]:
    found = await follow(index, world.route(*private))
    return [site.name for site in found.sites], found.problem


FILES = b"""
<a href="https://files.example.org/a/pip-1.whl#sha256=00">pip-1.whl</a>
<A HREF='../../local/pip-2.tar.gz'>pip-2.tar.gz</A>
<a href="https://home.example.org/pip.zip" rel="homepage">home</a>
<a href="https://docs.example.org/">docs</a>
<a href="http://plain.example.org/pip-3.whl">plain</a>
<a href="https://10.0.0.1/pip-4.whl">address</a>
"""


async def test_file_hosts_and_their_redirects_are_followed(world: World) -> None:
    world.pages = {
        "index.example.org/simple/pip/": FILES,
        "files.example.org/a/pip-1.whl": "https://blobs.example.org/signed?x=1",
        "blobs.example.org/signed?x=1": b"x",
    }
    found = await names(world, index("https://user:pass@index.example.org/simple/", PIP))
    assert found == (["index.example.org:443", "files.example.org:443", "blobs.example.org:443"], None)
    assert not any(b"pass" in head or b"authorization" in head.lower() for head in world.heads)
    assert b"\r\nRange: bytes=0-0\r\n" in world.heads[-1]


async def test_index_that_moved_is_followed(world: World) -> None:
    world.pages = {
        "index.example.org/simple/pip/": "//new.example.org/pip/",
        "new.example.org/pip/": b'<a href="pip-1.whl">',
    }
    assert await names(world, index("https://index.example.org/simple", PIP)) == (
        ["index.example.org:443", "new.example.org:443"],
        None,
    )
    assert world.asked[-1] == "new.example.org/pip/pip-1.whl"


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("http://new.example.org/", "index.example.org:443 redirects to a site that is not an https host"),
        ("https://127.0.0.1/", "index.example.org:443 redirects to a site that is not an https host"),
        ("https://index.example.org/simple/pip/", "index.example.org:443 redirects too often"),
        (None, "index.example.org:443 has none of the pages that would name its file hosts"),
        (b"".join(b'<a href="https://h%d.example.org/a.whl">' % n for n in range(MAX_HOSTS + 1)),
         f"index.example.org:443 leads to more than {MAX_HOSTS} hosts"),
    ],
)  # fmt: skip
async def test_answer_that_is_not_followed(world: World, page: bytes | str | None, problem: str) -> None:
    if page is not None:
        world.pages["index.example.org/simple/pip/"] = page
    found, why = await names(world, index("https://index.example.org/simple", PIP))
    assert why == problem
    assert len(found) <= MAX_HOSTS + 1
    assert len(world.asked) < 10


async def test_redirect_to_a_private_address_is_not_followed(world: World) -> None:
    world.addresses["inner.example.org"] = [ip_address("169.254.169.254")]
    world.pages["index.example.org/simple/pip/"] = "https://inner.example.org/latest"
    _, why = await names(world, index("https://index.example.org/simple", PIP))
    assert why == (
        "inner.example.org:443 was not asked: its name leads to a metadata address (169.254.169.254)"
    )
    assert world.asked == ["index.example.org/simple/pip/"]


async def test_plain_http_is_asked_only_if_private(world: World) -> None:
    world.pages["index.internal:8081/simple/pip/"] = b'<a href="http://files.internal:8082/a.whl">'
    plain = index("http://index.internal:8081/simple", PIP)
    world.addresses = {"index.internal": [ip_address("10.0.0.1")], "files.internal": [ip_address("::1")]}
    found, why = await names(world, plain)
    assert (found, why) == (
        ["index.internal:8081"],
        "index.internal:8081 is not https, so its answers cannot be trusted",
    )
    assert (world.asked, world.resolved) == ([], [])
    both = ["tcp://index.internal:8081", "tcp://files.internal:8082"]
    assert await names(world, plain, *both) == (["index.internal:8081", "files.internal:8082"], None)
    assert await names(world, plain, both[0]) == (["index.internal:8081"], None)


async def test_other_certificate_is_not_trusted(world: World) -> None:
    _, why = await names(world, index("https://index.example.net/", PIP))
    assert why is not None
    assert why.startswith("index.example.net:443 has no valid certificate: ")
    assert world.asked == []


async def test_long_page_is_read_in_part(world: World) -> None:
    early, late = b'<a href="https://a.example.org/a.whl">', b'<a href="https://b.example.org/b.whl">'
    world.pages["index.example.org/pip/"] = early + b" " * (2 * MAX_PAGE) + late
    found, _ = await names(world, index("https://index.example.org/", PIP))
    assert found == ["index.example.org:443", "a.example.org:443"]


async def test_answer_that_is_not_http(world: World) -> None:
    found: list[Followed] = []
    world.pages["index.example.org/pip/"] = "https://x.example.org/\r\nX: \0"
    found.append(await follow(index("https://index.example.org/", PIP), world.route()))
    world.pages["index.example.org/pip/"] = "https://x.example.org/\r\nX: " + "x" * 100_000
    found.append(await follow(index("https://index.example.org/", PIP), world.route()))
    assert [each.problem for each in found] == ["the answer of index.example.org:443 is not valid HTTP"] * 2


async def test_npm_and_cargo_name_their_files(world: World) -> None:
    world.pages = {
        "npm.example.org/once": b'{"versions":{"1":{"dist":{"tarball":"https://t.example.org/once-1.tgz"}}}}',
        "crates.example.org/config.json": b'{"dl": "https://dl.example.org/{crate}/x", "api": "https://a.test"}',
    }
    assert await names(world, index("https://npm.example.org/", npm._QUESTION)) == (
        ["npm.example.org:443", "t.example.org:443"],
        None,
    )
    downloads = IndexQuestion("config.json", cargo._downloads)
    assert await names(world, index("https://crates.example.org/", downloads)) == (
        ["crates.example.org:443", "dl.example.org:443"],
        None,
    )
