"""docs/clients.md: each row about MCP has its test, and its table says no more than that."""

from __future__ import annotations

from tests.conftest import CHECKOUT
from tests.docs.tables import rows, section

SERVERS = {
    "openai (Python)": ("tools/mcp/test_clients.py", "test_the_strict_accumulator_takes_the_stream"),
    "openai-agents": ("tools/mcp/test_clients.py", "test_agents_sdk_approves_a_hosted_tool"),
    "LangChain": ("tools/mcp/test_clients.py", "test_langchain_uses_a_server_in_two_turns"),
    "Vercel AI SDK": ("tools/mcp/test_clients.py", "test_the_ai_sdk_uses_a_server_in_two_turns"),
}
"""Clients that use tools of MCP servers."""

SANDBOXES = {
    "mcp 2.3 (Python), both generations of the protocol": (
        "mcp_server/test_http.py",
        "test_client_runs_commands_and_python",
    ),
    "mcp 2.3 (Python)": ("mcp_server/test_stdio.py", "test_session_ends_with_its_unnamed_containers"),
    "openai-agents": ("mcp_server/test_stdio.py", "test_agents_sdk_uses_the_sandbox"),
}
"""Clients of `agent-kernel mcp`."""


def is_test(file: str, name: str) -> bool:
    return f"async def {name}(" in (CHECKOUT / "tests" / file).read_text()


def test_each_row_about_mcp_is_a_test() -> None:
    tools = section("clients.md", "Anything else").partition("### Tools of MCP servers")[2]
    assert [row[0] for row in rows(tools, "client", "tool")] == list(SERVERS)
    sandboxes = section("clients.md", "Clients of `agent-kernel mcp`")
    assert [row[0] for row in rows(sandboxes, "client", "how")] == list(SANDBOXES)
    missing = [where for where in (*SERVERS.values(), *SANDBOXES.values()) if not is_test(*where)]
    assert missing == []
