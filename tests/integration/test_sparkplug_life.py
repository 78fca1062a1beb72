"""The life of the edge node at a real broker: birth, data, confirmation, rebirth, commands, clean stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edged.settings import BrokerSettings
from edged.types import Allowed, Lane, Proposal, Refused, Verdict
from edged_connectors.north.rules import SparkplugRules
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.integration.brokers import mosquitto_broker
from tests.integration.sparkplug_bench import Bench, arrived, bdseq_of, offered
from tests.integration.sparkplug_host import RecordingHost, recording_host
from tests.integration.sparkplug_peer import decoded_by_peer
from tests.unit.connectors.sparkplug_line import COUNT, DEFECT, RUNNING, SETPOINT, SIGNALS, TEMPERATURE

pytestmark = pytest.mark.mosquitto
NCMD = "spBv1.0/glassworks/NCMD/line_a"
DCMD_FURNACE = "spBv1.0/glassworks/DCMD/line_a/furnace"
REBIRTH = Payload(metrics=[Payload.Metric(name="Node Control/Rebirth", boolean_value=True)]).SerializeToString()
DEVICES = 3


class RecordingDesk:
    """Allows what is below 1600."""

    def __init__(self) -> None:
        self.proposals: list[Proposal] = []

    async def submit(self, proposal: Proposal) -> Verdict:
        self.proposals.append(proposal)
        return Allowed(proposal.value) if proposal.value < 1600 else Refused("too hot")


def at(port: int) -> list[BrokerSettings]:
    return [BrokerSettings(port=port)]


def broken_rules(host: RecordingHost) -> list[object]:
    rules = SparkplugRules()
    return [
        violation
        for message in host.heard
        for violation in rules.check(message.topic, message.payload, retain=message.retain, qos=message.qos)
    ]


def put_some(bench: Bench, round_number: int) -> None:
    bench.put(
        (TEMPERATURE, 1500.25 + round_number),
        (SETPOINT, 1510.0),
        (RUNNING, round_number % 2 == 0),
        (COUNT, round_number - 2),
        (DEFECT, f"bubble {round_number} ü"),
    )


async def whole_life(folder: Path) -> tuple[RecordingHost, Bench]:
    """Backlog, birth, data, a rebirth in the middle, and a clean stop."""
    async with mosquitto_broker(folder / "broker") as broker, recording_host(broker.port) as host:
        bench = Bench(folder, at(broker.port))
        put_some(bench, 0)
        async with bench.running():
            await host.until(lambda: len(host.of("DBIRTH")) == DEVICES)
            for number in range(1, 6):
                put_some(bench, number)
                await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
                if number == 3:
                    await host.send(NCMD, REBIRTH)
                    await host.until(lambda: len(host.of("DBIRTH")) == 2 * DEVICES)
            await host.until(lambda: offered(bench) <= signed(arrived(host)))
        await host.until(lambda: bool(host.of("NDEATH")))
    return host, bench


def signed(values: set[Any]) -> set[Any]:
    """Int64 as a host reads it."""
    return {
        (path, stamp, value - (1 << 64) if isinstance(value, int) and value >> 63 else value)
        for path, stamp, value in values
    }


async def test_a_whole_life_arrives_in_order_and_breaks_no_rule(tmp_path: Path) -> None:
    host, bench = await whole_life(tmp_path)
    kinds = [message.kind for message in host.heard if message.kind and message.kind != "NCMD"]
    assert kinds[: 1 + DEVICES] == ["NBIRTH"] + ["DBIRTH"] * DEVICES
    assert kinds.count("NBIRTH") == 2
    assert kinds[-1] == "NDEATH"
    assert kinds.count("NDEATH") == 1
    assert {bdseq_of(message) for message in host.of("NBIRTH") + host.of("NDEATH")} == {0}
    assert broken_rules(host) == []
    assert signed(arrived(host)) == offered(bench)
    status = bench.node.status()
    assert (status.published, status.historical, status.confirmed) == (25, 5, 30)
    assert (status.births, status.rebirths, status.online) == (2, 1, False)


async def test_the_first_values_are_history_and_the_rest_is_live(tmp_path: Path) -> None:
    host, bench = await whole_life(tmp_path)
    metrics = [metric for message in host.of("DDATA") for metric in message.decoded().metrics]
    history = [metric.timestamp for metric in metrics if metric.is_historical]
    assert sorted(history) == [row.source_time // 1_000_000 for row in bench.put_in[: len(SIGNALS)]]


@pytest.mark.node
async def test_a_decoder_of_other_hands_reads_every_message_alike(tmp_path: Path) -> None:
    host, bench = await whole_life(tmp_path)
    messages = [message for message in host.heard if message.kind and message.kind != "NCMD"]
    theirs = await decoded_by_peer(messages)
    assert len(theirs) == len(messages)
    found = set()
    names: dict[str, str] = {}
    for message, reading in zip(messages, theirs, strict=True):
        assert int(reading["timestamp"]) == message.decoded().timestamp
        assert message.kind == "NDEATH" or int(reading["seq"]) == message.decoded().seq
        for metric in reading["metrics"]:
            if message.kind == "DBIRTH":
                names[metric["alias"]] = f"line_a/{message.device}/{metric['name']}"
                assert metric["properties"]["Quality"] == {"type": "Int32", "value": 192}
            if message.kind == "DDATA":
                found.add((names[metric["alias"]], int(metric["timestamp"]), their_value(metric)))
    assert found == offered(bench)
    node = {metric["name"]: metric for metric in theirs[0]["metrics"]}
    assert (node["bdSeq"]["type"], node["bdSeq"]["value"]) == ("Int64", "0")
    assert (node["Node Control/Rebirth"]["type"], node["Node Control/Rebirth"]["value"]) == ("Boolean", False)


def their_value(metric: dict[str, Any]) -> object:
    """That package hands Int64 over as an unsigned number; a host takes it as signed."""
    value = metric["value"]
    if metric["type"] != "Int64":
        return value
    return int(value) - (1 << 64) if int(value) >> 63 else int(value)


async def test_commands_reach_the_desk_and_hostile_ones_are_counted(tmp_path: Path) -> None:
    desk = RecordingDesk()
    async with mosquitto_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        await host.send(NCMD, REBIRTH, retain=True)
        bench = Bench(tmp_path, at(broker.port), desk=desk)
        async with bench.running():
            await host.until(lambda: bench.node.status().online)
            for value in (1505.5, 1650.0):
                setpoint = Payload.Metric(name="temperature_setpoint", double_value=value)
                await host.send(DCMD_FURNACE, Payload(metrics=[setpoint]).SerializeToString())
            for garbage in (b"", b"\xff" * 50, b'{"set": 1}', b"\x12\x04\x0a\x02\xff\xfe", b"\x00" * 100_000):
                await host.send(DCMD_FURNACE, garbage)
                await host.send(NCMD, garbage)
            await host.until(lambda: bench.node.status().refused_commands >= 11 and len(desk.proposals) == 2)
            await host.until(lambda: bench.node.status().accepted_commands == 1)
            put_some(bench, 1)
            await host.until(lambda: bench.sink.depth(Lane.PROCESS) == 0)
            status = bench.node.status()
    assert [proposal.value for proposal in desk.proposals] == [1505.5, 1650.0]
    assert status.refused_commands == 12
    assert (status.births, status.rebirths) == (1, 0)
    assert [message.kind for message in host.heard].count("NBIRTH") == 1
