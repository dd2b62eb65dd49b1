"""docs/network.md's table of clients is what tests/egress/clients tries."""

from __future__ import annotations

from tests.docs.tables import rows, section
from tests.egress.clients.catalogue import CLIENTS

COLUMNS = ("client", "bubblewrap", "Docker", "with a secret", "its own message if refused")
EXPLAINS = "names host and reason"


def test_table_lists_the_clients_under_test() -> None:
    """Each works on both backends, or test_clients.py or test_secrets.py fails. test_apt.py has apt-get."""
    tested = [
        [each.name, "yes", "yes", "yes" if each.logs_in else "-", EXPLAINS if each.explains else "-"]
        for each in CLIENTS
    ]
    listed = rows(section("network.md", "Clients"), *COLUMNS)
    assert listed == [*tested, ["apt-get", "no", "yes", "yes", EXPLAINS]]
