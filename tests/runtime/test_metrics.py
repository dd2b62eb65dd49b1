"""Metrics: what each key sees, in a form that Prometheus's own parser reads."""

from __future__ import annotations

import subprocess
import sys

from prometheus_client import REGISTRY, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agent_kernel.runtime.observe.metrics import BUCKETS, COUNTERS, GAUGES, PREFIX, Metrics
from tests.docs.tables import rows, section

NOW = {"containers": 2.0, "background_turns": 1.0}


def families(metrics: Metrics) -> dict[str, Metric]:
    return {each.name: each for each in text_string_to_metric_families(metrics.render(NOW))}


def filled() -> tuple[Metrics, Metrics, Metrics]:
    root = Metrics()
    alice, bob = root.of("alice"), root.of('b"o\\b\n')
    for metrics, seconds in ((root, 0.05), (alice, 0.1), (alice, 7.0), (bob, 9000.0)):
        metrics.count("turns_total", status="completed")
        metrics.turn_took(seconds)
    alice.count("tokens_total", 12, kind="input")
    return root, alice, bob


def test_key_sees_only_its_own_counts() -> None:
    _, alice, _ = filled()
    found = families(alice)
    for name in ("turns", "tokens", "turn_seconds"):
        assert {sample.labels["key"] for sample in found[PREFIX + name].samples} == {"alice"}
    assert "process_cpu_seconds" not in found


def test_nameless_key_sees_all_counts_and_the_process() -> None:
    root, _, _ = filled()
    found = families(root)
    keys = [sample.labels.get("key") for sample in found["agent_kernel_turns"].samples if sample.value]
    assert set(keys) == {None, "alice", 'b"o\\b\n'}
    assert found["process_resident_memory_bytes"].samples[0].value > 0
    assert found["agent_kernel_containers"].samples[0].value == 2


def test_histogram_is_cumulative_and_counts_each_turn_once() -> None:
    _, alice, bob = filled()
    samples = families(alice)["agent_kernel_turn_seconds"].samples
    buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(BUCKETS) + 1
    assert buckets[0] == 1, "a bound belongs to its bucket"
    assert {sample.name[len("agent_kernel_turn_seconds") :]: sample.value for sample in samples[-2:]} == {
        "_count": 2, "_sum": 7.1,
    }  # fmt: skip
    beyond = [
        each.value for each in families(bob)["agent_kernel_turn_seconds"].samples if "le" in each.labels
    ]
    assert beyond[-2:] == [0, 1]


def test_same_key_asked_for_twice_keeps_its_counts() -> None:
    root, _, _ = filled()
    again = families(root.of("alice"))["agent_kernel_tokens"].samples
    assert [each.value for each in again] == [12]


def test_every_metric_has_help_and_a_row_in_the_documentation() -> None:
    root, _, _ = filled()
    found = families(root)
    table = {name for name, *_ in rows(section("api.md", "Metrics"), "name", "labels", "meaning")}
    ours = {*COUNTERS, *GAUGES, "turn_seconds"}
    assert ours <= table
    assert {PREFIX + name.removesuffix("_total") for name in ours} == {
        n for n in found if n.startswith(PREFIX)
    }
    assert all(family.documentation for family in found.values())


def test_nothing_is_registered_globally() -> None:
    filled()[0].render(NOW)
    assert PREFIX not in generate_latest(REGISTRY).decode()


def test_counting_does_not_load_prometheus_client() -> None:
    code = (
        "import sys; from agent_kernel.runtime.observe.metrics import Metrics; m = Metrics();"
        "m.count('turns_total', status='failed'); m.turn_took(1); print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
