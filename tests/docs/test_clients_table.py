"""docs/network.md's table of clients is what tests/egress/clients tries."""

from __future__ import annotations

from tests.docs.tables import rows, section
from tests.egress.clients.catalogue import CLIENTS

REFUSAL, EXPLAINS = "its own message if refused", "names host and reason"


def test_table_lists_the_clients_under_test() -> None:
    """Each must work on both backends, or test_clients.py fails. Of apt-get, see test_apt.py."""
    listed = rows(section("network.md", "Clients"), "client", "bubblewrap", "Docker", REFUSAL)
    tested = [[each.name, "yes", "yes", EXPLAINS if each.explains else "-"] for each in CLIENTS]
    assert listed == [*tested, ["apt-get", "no", "yes", EXPLAINS]]
