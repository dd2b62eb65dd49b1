"""What the network policy of a turn's container, and rules for hosts, say about pages."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.policy.rules import read_policy
from agent_kernel.runtime.containers.settings import ContainerOptions
from tests.runtime.played import Upstream
from tests.tools.web_search.conftest import Make, access
from tests.tools.web_search.served import Web
from tests.tools.web_search.test_turns import TOOL, Json, asks, events_of, outputs, told

pytestmark = [pytest.mark.bubblewrap, pytest.mark.shown_on()]

NOT_ALLOWED = "The network policy of this turn's container does not allow 127.0.0.1."


def shell(policy: Json | None) -> Json:
    network = {} if policy is None else {"network_policy": policy}
    return {"type": "shell", "environment": {"type": "container_auto", **network}}


def allowlist(*domains: str) -> Json:
    return {"type": "allowlist", "allowed_domains": list(domains)}


async def opening(
    runtime: Make, upstream: Upstream, web: Web, path: str, *tools: Json, bound: str = "", **settings: Any
) -> str | None:
    """Let a model open a page; return why it was not opened, None if it was."""
    bounds = NetworkPolicy.parse([bound, "pages.example.org"]) if bound else NetworkPolicy()
    asks(upstream, action="open_page", url=f"{web.url}{path}")
    upstream.says({"content": "Done."})
    options = ContainerOptions(network=bounds)
    async with runtime(turn_settings=access(web), container_settings=options, **settings) as running:
        events = await events_of(running, "Read it.", TOOL, *tools, include=["web_search_call.results"])
    made = next(each for each in outputs(events) if each["type"] == "web_search_call")
    if made["status"] == "completed":
        assert "384,400" in told(upstream)
        return None
    why: str = made["agent_kernel"]["error"]
    assert why in told(upstream)
    return why


def own(web: Web) -> str:
    return f"tcp://{web.url.removeprefix('http://')}"


async def test_only_pages_of_a_containers_hosts_are_opened(
    runtime: Make, upstream: Upstream, web: Web
) -> None:
    for_others = shell(allowlist("pages.example.org"))
    assert await opening(runtime, upstream, web, "/moon", for_others, bound=own(web)) == NOT_ALLOWED
    assert web.asked == []
    for_it = shell(allowlist(own(web)))
    assert await opening(runtime, upstream, web, "/moon", for_it, bound=own(web)) is None


async def test_a_redirect_is_under_the_policy_too(runtime: Make, upstream: Upstream, web: Web) -> None:
    web.redirects("/out", "http://localhost:1/moon")
    why = await opening(runtime, upstream, web, "/out", shell(allowlist(own(web))), bound=own(web))
    assert why == "The network policy of this turn's container does not allow localhost."
    assert [path for path, _, _ in web.asked] == ["/out"]


@pytest.mark.parametrize("policy", [None, {"type": "disabled"}, {"type": "ask", "allowed_domains": []}])
async def test_other_policies_say_nothing_of_pages(
    runtime: Make, upstream: Upstream, web: Web, policy: Json | None
) -> None:
    assert await opening(runtime, upstream, web, "/moon", shell(policy), bound=own(web)) is None


async def test_a_turn_without_a_container_has_no_policy(runtime: Make, upstream: Upstream, web: Web) -> None:
    assert await opening(runtime, upstream, web, "/moon") is None


@pytest.mark.parametrize("action", ["deny", "ask"])
async def test_rules_for_hosts_hold_for_pages(
    runtime: Make, upstream: Upstream, web: Web, action: str
) -> None:
    rules = read_policy({"rules": [{"action": action, "host": "127.0.0.1"}]})
    why = await opening(runtime, upstream, web, "/moon", approval=rules)
    assert why is not None
    assert web.asked == []
