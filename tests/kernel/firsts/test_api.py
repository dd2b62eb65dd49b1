"""Programs that people try first, over the API: two turns of a scripted model in one container."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.egress.clients.web import WebServer
from tests.kernel.firsts.conftest import PERSON, shell
from tests.kernel.firsts.sites import DATA, GIT, PACKAGES
from tests.server.keyed import Keyed

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(400)]


@pytest.fixture
def client(on_bubblewrap: Keyed) -> Iterator[OpenAI]:
    with on_bubblewrap.client(PERSON) as client:
        yield client.with_options(timeout=300)  # pip writes thousands of files


def test_pip_installs_beside_the_toolbox(client: OpenAI, web: WebServer) -> None:
    found = client.responses.create(input="Just add httpx with pip.", tools=shell(web, PACKAGES))
    assert found.output_text.startswith("Installed httpx **0.")
    assert found.output_text.endswith("in /home/agent/packages.")


@pytest.mark.slow  # the same programs as in the notebook
def test_httpx_is_installed_and_used_in_the_next_turn(client: OpenAI, web: WebServer) -> None:
    tools = shell(web, PACKAGES, DATA)
    first = client.responses.create(input="Please install httpx in a virtual environment.", tools=tools)
    assert first.output_text.startswith("Installed httpx **0.")
    ask = "Use it: how many orders are there?"
    second = client.responses.create(input=ask, tools=tools, previous_response_id=first.id)
    assert second.output_text == "There are **7 orders**."


@pytest.mark.slow  # the same programs as in the notebook
def test_scipy_is_installed_and_fits_a_column(client: OpenAI, web: WebServer, scipy: None) -> None:
    heights = [171.5, 168.25, 182.0, 177.75]
    content = "height\n" + "".join(f"{height}\n" for height in heights)
    file = client.files.create(file=("heights.csv", content.encode()), purpose="user_data")
    found = client.responses.create(
        input="Install scipy and fit a normal distribution to the heights.",
        tools=shell(web, PACKAGES, file_ids=[file.id]),
    )
    mean, deviation = statistics.fmean(heights), statistics.pstdev(heights)
    assert f"mean **{mean:.4f}** and standard deviation **{deviation:.4f}**" in found.output_text


def test_failing_tests_are_fixed_and_the_patch_downloaded(client: OpenAI, web: WebServer) -> None:
    tools = shell(web, GIT)
    first = client.responses.create(input="Clone the shop and run its tests.", tools=tools)
    assert first.output_text == "Of three tests these fail: **test_discounted** and **test_total**."
    more: Any = {"tools": [{"type": "shell"}]}  # the same container
    second = client.responses.create(input="Please fix them.", previous_response_id=first.id, **more)
    assert second.output_text == "Fixed: 3 tests pass."
    third = client.responses.create(input="Now write the patch.", previous_response_id=second.id, **more)
    container: Any = third.tools[0]
    container_id = container.environment.container_id
    files = {file.path: file.id for file in client.containers.files.list(container_id, limit=100)}
    patch_id = files["/mnt/data/fix.patch"]
    patch = client.containers.files.content.retrieve(patch_id, container_id=container_id).text
    assert "-    return sum(prices[1:])\n+    return sum(prices)\n" in patch
