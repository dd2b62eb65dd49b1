"""What turns use of their container: in the response, in the store, and in the metrics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response
from prometheus_client.parser import text_string_to_metric_families

from agent_kernel.errors import EngineUnavailable
from agent_kernel.protocol.items import to_json
from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.sandboxes.base import Backend, SandboxRef
from agent_kernel.sandboxes.optional import metering_of
from tests.conftest import Missing
from tests.runtime.test_contract import DIRECT, container_of, outputs, turn
from tests.sandboxes.test_metering import BURN, TICK

SPIN = "while :; do for i in {1..2000}; do :; done; times >> spun; done"
CUT_OFF = (
    f"turns: [{{when: spin, do: [{{shell: {{commands: ['{SPIN}'], timeout_ms: 500}}}}, {{say: Done.}}]}}]"
)


def compute(response: Response) -> dict[str, Any] | None:
    found: dict[str, Any] | None = to_json(response).get("agent_kernel", {}).get("compute")
    return found


def printed(response: Response) -> str:
    return str(outputs(response)[0]["output"][0]["stdout"])


def counted(metrics: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.labels.get("backend")
    }


def at_least(backend: Backend, inside: float) -> float:
    """What processes say that they have used. Those of gVisor count waiting too, on a busy machine."""
    return 0.0 if backend.capabilities().isolation == "runsc" else inside


@pytest.fixture
def metered(backend: Backend, missing: Missing) -> Backend:
    if not backend.capabilities().metering:
        missing("This user cannot create control groups that count processor time. Run the tests as root.")
    return backend


@pytest.mark.on_docker
async def test_turns_show_what_their_commands_used(metered: Backend, local_runtime: LocalRuntime) -> None:
    first = await turn(local_runtime, BURN, model=DIRECT)
    used, inside = compute(first), float(printed(first))
    assert used is not None
    assert at_least(metered, inside) - TICK <= used["cpu_seconds"] <= 2 * inside + 1
    assert used["memory_byte_seconds"] > 0
    assert used["bytes_out"] == 0
    assert compute(await local_runtime.retrieve(first.id)) == used

    idle = await turn(local_runtime, "chat", previous_response_id=first.id)
    assert compute(idle) is None, "no command ran"

    here = {"type": "container_reference", "container_id": container_of(first)}
    second = await turn(local_runtime, "true", model=DIRECT, tools=[{"type": "shell", "environment": here}])
    more, metering = compute(second), metering_of(metered)
    assert more is not None
    assert metering is not None
    whole = await metering.usage(await metered.get(container_of(first)))
    assert whole is not None
    together = used["cpu_seconds"] + more["cpu_seconds"]
    assert more["cpu_seconds"] >= 0
    assert together <= whole.cpu_seconds + 1e-5
    totals = counted(await local_runtime.measures())
    assert totals["agent_kernel_sandbox_cpu_seconds_total"] == pytest.approx(together, abs=1e-5)
    assert totals["agent_kernel_sandbox_sent_bytes_total"] == 0


@pytest.mark.bubblewrap
async def test_a_command_that_is_cut_off_is_counted(
    metered: Backend, local_runtime: LocalRuntime, tmp_path: Path
) -> None:
    (tmp_path / "spin.yaml").write_text(CUT_OFF)
    response = await turn(local_runtime, "spin", model=f"scripted/{tmp_path}/spin.yaml")
    assert outputs(response)[0]["output"][0]["outcome"] == {"type": "timeout"}
    used = compute(response)
    here = {"type": "container_reference", "container_id": container_of(response)}
    last = await turn(
        local_runtime, "cat spun | tail -n 2", model=DIRECT, tools=[{"type": "shell", "environment": here}]
    )
    own = printed(last).split()[:2]  # the shell's user and system time, such as 0m0.480s
    inside = sum(float(each.removesuffix("s").partition("m")[2]) for each in own)
    assert used is not None
    assert used["cpu_seconds"] > 0
    assert used["cpu_seconds"] >= at_least(metered, inside) - 2 * TICK


@pytest.mark.bubblewrap
async def test_a_failed_reading_is_logged_once_and_fails_nothing(
    metered: Backend,
    local_runtime: LocalRuntime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(ref: SandboxRef) -> None:
        raise EngineUnavailable("It is away.")

    monkeypatch.setattr(metered, "usage", fails)
    with caplog.at_level(logging.WARNING, "agent_kernel.runtime.observe.compute"):
        first = await turn(local_runtime, "echo 1", model=DIRECT)
        assert printed(first) == "1\n"
    unmeasured = ["cpu_seconds", "memory_byte_seconds"]
    assert compute(first) == {"bytes_out": 0, "not_measured": unmeasured}
    totals = counted(await local_runtime.measures())
    assert totals["agent_kernel_sandbox_unmeasured_turns_total"] == 1
    assert "agent_kernel_sandbox_cpu_seconds_total" not in totals
    assert [record.getMessage() for record in caplog.records if "away" in record.getMessage()] == [
        f"What the sandbox {container_of(first)} uses could not be read: It is away."
    ]
