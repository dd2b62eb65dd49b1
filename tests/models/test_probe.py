"""Questions to a model's server: what it tells, what stays unknown, and what a hostile one can do."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from agent_kernel.models.probing import probe as probing
from agent_kernel.models.probing.probe import probe
from agent_kernel.models.server_report import ServerReport
from agent_kernel.models.upstream import Upstream
from tests.models.model_server import Answers, ModelServer, llama_cpp, models, ollama, serving

KEY = "sk-very-secret-1234"


async def ask(url: str, name: str = "small") -> ServerReport:
    upstream = Upstream(url, KEY)
    try:
        return await probe(upstream, name)
    finally:
        await upstream.aclose()


async def told(answers: Answers, name: str = "small", **attributes: Any) -> tuple[ServerReport, ModelServer]:
    with serving(answers) as server:
        vars(server).update(attributes)
        return await ask(server.url, name), server


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (llama_cpp(True, 4096, "small"), (True, True, 4096)),
        (llama_cpp(False, 512), (True, False, 512)),
        ({"/v1/models": models("small", max_model_len=32768)}, (True, None, 32768)),
        (
            ollama(["completion", "tools"], 'stop "x"\nnum_ctx                        2048'),
            (True, True, 2048),
        ),
        (ollama(["completion"]), (True, False, None)),
        ({"/v1/models": models("small", supported_parameters=["tools"], context_length=7)}, (True, True, 7)),
        ({"/v1/models": models("small", capabilities={"function_calling": False})}, (True, False, None)),
        ({"/v1/models": models("*")}, (True, None, None)),
        ({"/v1/models": models("small")}, (True, None, None)),
        ({"/v1/models": 404}, (None, None, None)),
        ({"/v1/models": 403}, (None, None, None)),
        ({"/v1/models": {**models("other"), "has_more": True}}, (None, None, None)),
    ],
)
async def test_server_tells_what_it_knows(answers: Answers, expected: tuple[Any, ...]) -> None:
    report, server = await told(answers)
    assert report.problem is None
    assert (report.served, report.tools, report.context) == expected
    assert len(server.asked) <= 3
    assert not any("completions" in line or "responses" in line for line in server.asked)


SEES = {
    **llama_cpp(True, 4096),
    "/props": {**llama_cpp(True, 4096)["/props"], "modalities": {"vision": True}},
}


@pytest.mark.parametrize(
    ("answers", "pictures"),
    [
        (SEES, True),
        (llama_cpp(True, 4096), None),
        (ollama(["completion", "vision"]), True),
        (ollama(["completion"]), False),
        ({"/v1/models": models("small", architecture={"input_modalities": ["text"]})}, False),
        ({"/v1/models": models("small", architecture={"input_modalities": ["text", "image"]})}, True),
        ({"/v1/models": models("small", capabilities={"vision": False})}, False),
        ({"/v1/models": models("small", capabilities={"vision": "yes"}, architecture=7)}, None),
    ],
)
async def test_server_tells_whether_it_sees(answers: Answers, pictures: bool | None) -> None:
    report, _ = await told(answers)
    assert report.pictures is pictures


async def test_llama_cpp_answers_to_any_name() -> None:
    report, _ = await told(llama_cpp(True, 4096))
    assert report.server_line.endswith("answers to any name, with small.gguf")


async def test_llama_cpp_router_is_not_asked_for_details() -> None:
    answers = llama_cpp(True, 4096, "a", "b")
    answers["/props"]["role"] = "router"
    report, _ = await told(answers, "a")
    assert (report.served, report.tools, report.context) == (True, None, None)
    report, _ = await told(answers, "c")
    assert report.served is False


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (["smaller", "large"], "It lists smaller and 1 more."),
        (["x", "y", "z", "w"], "It lists x, y, z and 1 more."),
        ([], "It lists no models."),
    ],
)
async def test_name_that_is_not_served(listed: list[str], words: str) -> None:
    report, _ = await told({"/v1/models": models(*listed)})
    assert report.problem is not None
    assert report.problem.endswith(f"does not serve small. {words}")
    assert report.hint


async def test_nothing_listens_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    report = await ask(f"http://user:{KEY}@127.0.0.1:{port}/v1")
    assert report.problem is not None
    assert report.problem.startswith(f"No server answers at http://127.0.0.1:{port}/v1 (")
    assert "AGENT_KERNEL_UPSTREAM_URL" in str(report.hint)
    assert KEY not in str(report)


async def test_silent_server_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.2)
    report, _ = await told(llama_cpp(True, 4096), silent=True)
    assert report.problem is not None
    assert "did not answer within 0.2 seconds" in report.problem


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_status_that_fails_turns_is_a_problem(status: int) -> None:
    report, server = await told({"/v1/models": status})
    assert f"({status})" in str(report.problem)
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>A web page</html>"),
        (200, b"[" * 100_000),
        (200, b'{"data": 7}'),
        (403, b"Refused by the proxy"),
        (404, b"404 page not found"),
    ],
    ids=["page", "deep", "other", "proxy", "web server"],
)
async def test_answer_that_is_no_list_of_models(status: int, body: bytes) -> None:
    report, _ = await told({"/v1/models": body}, status=status)
    assert f"answers ({status}), but not with a list of models" in str(report.problem)


@pytest.mark.parametrize("path", ["/v1/models", "/props", "/api/show"])
async def test_huge_answer_is_not_read(path: str) -> None:
    huge = b" " * (probing.LONGEST_ANSWER + 1)
    report, _ = await told({"/v1/models": models("small"), path: huge})
    assert (report.problem is None) == (path != "/v1/models")
    assert report.tools is None


async def test_compressed_answer_is_not_read() -> None:
    report, _ = await told({"/v1/models": b"\x1f\x8b"}, headers={"Content-Encoding": "gzip"})
    assert "compressed" in str(report.problem)


@pytest.mark.parametrize("context", [True, -1, "4096", 10**12])
async def test_odd_context_is_unknown(context: Any) -> None:
    report, _ = await told({"/v1/models": models("small", max_model_len=context)})
    assert report.context is None
    assert report.context_line.startswith("unknown")


@pytest.mark.parametrize("status", [200, 503])
async def test_hostile_text_is_inert_and_has_no_key(status: int) -> None:
    evil = f"\x1b]0;x\x07\u202e{KEY}\n<b>`" + "y" * 10_000
    body = models(evil) if status == 200 else {"error": {"message": evil}}
    with serving({"/v1/models": body}) as server:
        server.status = status
        report = await ask(server.url)
    text = str(report.problem)
    assert text.isprintable()
    assert len(text) < 500
    assert "***" in text
    assert KEY not in text


async def test_details_of_any_shape_are_survived() -> None:
    for props in ({"default_generation_settings": {"n_ctx": {}}, "chat_template_caps": 3}, [1]):
        report, _ = await told(
            {"/v1/models": models("small"), "/props": props, "/api/show": json.loads("[]")}
        )
        assert (report.problem, report.tools, report.context) == (None, None, None)


@pytest.mark.parametrize(
    ("told", "assumed", "line"),
    [
        (4096, None, "4,096 tokens"),
        (4096, 2048, "4,096 tokens"),
        (4096, 8192, "4,096 tokens, although 8,192 are configured"),
        (None, 8192, "8,192 tokens are assumed: the server does not say"),
        (None, None, "unknown: the server does not say"),
    ],
)
def test_context_line_names_the_configured_size(told: int | None, assumed: int | None, line: str) -> None:
    assert ServerReport("http://x/v1", "m", context=told, assumed=assumed).context_line == line
