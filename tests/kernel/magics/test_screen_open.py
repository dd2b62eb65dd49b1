"""`%screen open`: a link that works once and soon, and that the notebook does not keep."""

from __future__ import annotations

import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from tests.kernel.client import Notebook
from tests.kernel.test_interrupt import interrupted, shows

pytestmark = pytest.mark.bubblewrap


def test_the_link_is_not_kept_and_ends_with_the_cell(shared: Notebook) -> None:
    sent = shared.send("%screen open", cell_id="c")
    message = shared.collect(sent, until=shows("Open the desktop")).messages[-1]
    text = message["content"]["data"]["text/plain"]
    address = urlsplit(text.partition("\n")[0])
    assert (address.hostname, address.path) == ("127.0.0.1", "/")
    assert len(address.fragment) >= 40
    with socket.create_connection(("127.0.0.1", address.port)):
        pass
    result = interrupted(shared, sent)
    assert result.kinds.count("clear_output") >= 1
    assert not re.search(r"127\.0\.0\.1|Open the desktop", json.dumps(result.final))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", address.port))


def test_a_batch_gets_no_link(shared: Notebook) -> None:
    result = shared.run("%screen open")
    assert "%screen open needs somebody who opens the link." in result.error
