"""/metrics of a running daemon and hub: promtool has nothing to say, a parser reads it, no label per signal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bench.line import LineStack
from bench.processes import PROJECT, fetch, mosquitto, wait_until

SCENARIO = PROJECT / "configs" / "scenarios" / "demo.yaml"
LABELS = {"source", "sink", "model", "outcome", "kind", "reason", "le"}

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed"),
]


class Pages(NamedTuple):
    """What both programs told."""

    edged: str
    hub: str


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Read while data flows and one source has lost its broker, so that fault counters stand there too."""
    with LineStack(tmp_path_factory.mktemp("metrics") / "line") as line:
        line.start_broker()
        line.start_hub()
        line.start_plant(SCENARIO)
        line.start_edge()
        line.wait_for_data()
        line.processes["broker"].stop()
        wait_until("a fault in the metrics", lambda: "edged_source_faults_total{" in metrics(line.http_port))
        wait_until("samples in the hub", lambda: "\nedged_hub_samples 0.0\n" not in metrics(line.hub_port))
        yield Pages(metrics(line.http_port), metrics(line.hub_port))


def metrics(port: int) -> str:
    """A page as it came."""
    return (fetch(f"http://127.0.0.1:{port}/metrics") or b"").decode()


@pytest.mark.promtool
@pytest.mark.parametrize("program", Pages._fields)
def test_promtool_has_nothing_to_say(pages: Pages, program: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    answer = subprocess.run(
        [promtool, "check", "metrics"], input=getattr(pages, program), capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_a_parser_reads_what_happened(pages: Pages) -> None:
    edged, hub = families(pages.edged), families(pages.hub)
    received = {sample.labels["source"]: sample.value for sample in edged["edged_source_samples"].samples}
    assert set(received) == {"furnace", "forming", "cold_end"}
    assert min(received.values()) > 0
    assert edged["edged_outbox_samples"].samples[0].value > 0
    for name in ("edged_pipeline_seconds", "edged_outbox_wait_seconds", "edged_outbox_commit_seconds"):
        assert edged[name].type == "histogram"
        assert max(sample.value for sample in edged[name].samples if sample.name.endswith("_count")) > 0, name
    assert any(sample.labels["source"] == "cold_end" for sample in edged["edged_source_faults"].samples)
    assert hub["edged_hub_samples"].samples[0].value > 0
    assert hub["edged_hub_batches"].type == "counter"


@pytest.mark.parametrize("program", Pages._fields)
def test_every_metric_is_ours_or_of_the_process_and_explained(pages: Pages, program: str) -> None:
    for name, family in families(getattr(pages, program)).items():
        assert name.startswith(("edged_", "process_")), name
        assert family.documentation, name


def test_no_label_stands_for_a_signal(pages: Pages) -> None:
    samples = [sample for family in families(pages.edged).values() for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} <= LABELS
    assert not [sample for sample in samples for value in sample.labels.values() if "/" in value]


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}
