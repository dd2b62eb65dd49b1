"""A server that ends takes nothing over from others."""

from __future__ import annotations

from tests.cli.moving import Environment, runtime_of
from tests.store.postgres import Postgres


async def test_news_of_a_death_comes_to_a_server_that_ends(
    postgres: Postgres, own_environment: Environment
) -> None:
    """It may come while this server closes its store: then it must not read from it."""
    async with runtime_of({**own_environment, "AGENT_KERNEL_STORE": postgres.new()}) as runtime:
        await runtime.start()
    await runtime._tenants._died()
