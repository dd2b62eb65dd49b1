"""A page of the extension, played by a test: a comm to a real kernel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from agent_kernel.kernel.panel.messages import TARGET, VERSION
from tests.kernel.client import Notebook

Message = dict[str, Any]


class Page:
    """A connected page. It sees the messages of its own comm."""

    _numbers = itertools.count(1)

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.id = f"page-{next(self._numbers)}"
        self._sent = itertools.count(1)
        self.buffers: list[memoryview | bytes] = []
        """Of the message that came last."""
        self._shell("comm_open", {"target_name": TARGET, "data": {"version": VERSION}})

    def _shell(self, kind: str, content: Message, buffers: list[bytes] | None = None) -> str:
        """Send a message on the shell channel; its id."""
        client = self.notebook.client
        message = client.session.msg(kind, {"comm_id": self.id, **content})
        client.session.send(client.shell_channel.socket, message, buffers=buffers)
        return str(message["header"]["msg_id"])

    def say(self, data: object, buffers: list[bytes] | None = None) -> str:
        """Send anything; the message's id."""
        return self._shell("comm_msg", {"data": data}, buffers)

    def ask(self, name: str, arguments: object = None, buffers: list[bytes] | None = None) -> Message:
        """Send a request; its answer."""
        number = f"ask-{next(self._sent)}"
        arguments = {} if arguments is None else arguments
        self.say({"version": VERSION, "id": number, "request": name, "arguments": arguments}, buffers)
        return self.until(lambda data: data.get("reply") == number)

    def result(self, name: str, arguments: object = None, buffers: list[bytes] | None = None) -> Message:
        """Send a request that succeeds; its result."""
        answer = self.ask(name, arguments, buffers)
        assert "error" not in answer, answer
        result: Message = answer["result"]
        return result

    def with_buffers(self, name: str, arguments: object) -> tuple[Message, list[bytes]]:
        """Send a request that succeeds; its result and its buffers."""
        result = self.result(name, arguments)
        return result, [bytes(each) for each in self.buffers]

    def until(self, wanted: Callable[[Message], bool]) -> Message:
        """The next message of this page's comm that is wanted."""
        while True:
            message = self.notebook.message()
            content = message["content"]
            if (
                message["msg_type"] == "comm_msg"
                and content["comm_id"] == self.id
                and wanted(content["data"])
            ):
                data: Message = content["data"]
                self.buffers = message.get("buffers") or []
                return data

    def state(self, wanted: Callable[[Message], bool] = lambda state: True) -> Message:
        """The next pushed state that is wanted."""
        pushed = self.until(lambda data: data.get("push") == "state" and wanted(data["value"]))
        value: Message = pushed["value"]
        return value

    def close(self) -> None:
        self._shell("comm_close", {"data": {}})
