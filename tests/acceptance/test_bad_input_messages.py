"""Messages that make no sense, over MQTT and Sparkplug: counted, told, nothing lost or written (CARD2, CARD6)."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from bench.line import LineStack
from bench.processes import mosquitto, wait_until
from bench.sparkplug_host import SparkplugHost
from edged_connectors.north.sparkplug_pb2 import Payload
from tests.acceptance.bad_input_rig import (
    Json,
    derived,
    finish,
    held_alarms,
    history,
    metric,
    plant_writes,
    source,
    start_line,
    until,
)

HOST = "scada"
PROBE_TOPIC = "glassworks/line_a/probe"
PLAIN_TOPIC = "glassworks/line_a/plain"
UNIT_TOPIC = "glassworks/line_a/inspection/unit"
PROBES = ("number", "whole", "flag", "word")
GOOD, UNCERTAIN, BAD = 192, 64, 0
MAX_PAYLOAD_BYTES = 262_144
PUBLISH_SECONDS = 10.0
OUTPUT = "line_a/forming/belt_speed_setpoint"
APPROVAL_THRESHOLD = 50.0
"""Of the belt, in configs/line-a.yaml."""
WISH_METRIC = 'edged_sparkplug_commands_total{{outcome="{}"}}'

UNREADABLE = (
    b"not json",
    b"{",
    b"",
    b"\xff\xfe\x00",
    b"\x00" * 64,
    b"[" * 5000,
    b'{"timestamp": 1, "number": NaN}',
    b'{"number": 1} trailing',
)
ILLEGIBLE_UNITS = (b"{}", b'{"unit_id": null, "passed": true}', b'{"unit_id": "u", "passed": "perhaps"}', b"5")
GARBAGE = (b"not a payload", b"\xff" * 100, b"\x08", b"\x12\x7f", random.Random(4).randbytes(500), b"{" * 1000)

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed"),
]


class Mischief:
    """The running line and a client at its broker."""

    def __init__(self, folder: Path) -> None:
        self.line = LineStack(folder / "line")
        self.config = derived(
            folder / "config",
            ("      - { name: annealing/zone_1_temp", probes() + "      - { name: annealing/zone_1_temp"),
            ("  profile: spec", f"  primary_host: {HOST}\n  profile: spec"),
            (
                "      period_seconds: 1\n      readback",
                "      period_seconds: 1\n      target_mode: manual\n      readback",
            ),
        )
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="mischief")

    def start(self) -> None:
        self.line.start_broker()
        self.client.connect("127.0.0.1", self.line.mqtt_port)
        self.client.loop_start()
        self.send(f"spBv1.0/STATE/{HOST}", json.dumps({"online": True, "timestamp": 1_000}).encode(), retain=True)
        self.command("forming", OUTPUT.rpartition("/")[2], 100.0, retain=True)
        start_line(self.line, self.config, parts=("hub",))

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.line.stop()

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """QoS 1, and the broker has it."""
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PUBLISH_SECONDS)

    def command(self, device: str, name: str, value: object, *, retain: bool = False) -> None:
        """A DCMD; text becomes a string, None a null."""
        payload = Payload(timestamp=now())
        one = payload.metrics.add(name=name, timestamp=now())
        match value:
            case None:
                one.is_null = True
            case str():
                one.string_value = value
            case bool():
                one.boolean_value = value
            case float():
                one.double_value = value
        self.send(f"spBv1.0/glassworks/DCMD/line_a/{device}", payload.SerializeToString(), retain=retain)


def probes() -> str:
    """Signals of our own on topics of our own."""
    kinds = {"number": "float", "whole": "int", "flag": "bool", "word": "string"}
    rows = [f"name: probe/{n}, address: {{ topic: {PROBE_TOPIC}, path: $.{n} }}, type: {k}" for n, k in kinds.items()]
    rows.append(f"name: probe/plain, address: {{ topic: {PLAIN_TOPIC} }}, type: float")
    return "".join(f"      - {{ {row} }}\n" for row in rows)


def now() -> int:
    """Milliseconds UTC."""
    return time.time_ns() // 1_000_000


def document(**values: object) -> bytes:
    """A probe document with a time of its own."""
    time.sleep(0.002)
    return json.dumps({"timestamp": now(), **values}).encode()


@pytest.fixture(scope="module")
def mischief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mischief]:
    """The line runs, is born at its primary host, and its loop is in MAN for good."""
    made = Mischief(tmp_path_factory.mktemp("mischief"))
    try:
        made.start()
        until(made.line, "the birth", lambda status: status["sparkplug"]["online"])
        yield made
    finally:
        made.stop()


def reasons(line: LineStack, name: str, quality: int = BAD) -> list[str]:
    """The reasons of all values of a probe with that quality, in order."""
    return [one["reason"] for one in history(line, f"line_a/probe/{name}") if one["quality"] == quality]


def wait_for(line: LineStack, name: str, value: object) -> None:
    """Until the hub holds a value of a probe."""
    wait_until(
        f"{name} {value}",
        lambda: any(one["value"] == value for one in history(line, f"line_a/probe/{name}")),
        line.processes["edged"],
    )


def test_unreadable_mqtt_payloads_are_bad_and_counted(mischief: Mischief) -> None:
    line, numbers = mischief.line, count(1)
    huge = document(number=1.0, word="x" * MAX_PAYLOAD_BYTES)
    for payload in (*UNREADABLE, huge):
        mischief.send(PROBE_TOPIC, payload)
        mischief.send(PROBE_TOPIC, document(number=float(next(numbers)), whole=1, flag=True, word="fine"))
    for payload in ILLEGIBLE_UNITS:
        mischief.send(UNIT_TOPIC, payload)
    for payload in (b"12,5", b"", b"\xff", b"nan"):
        mischief.send(PLAIN_TOPIC, payload)
    mischief.send(PLAIN_TOPIC, b" 12.5 ")
    wait_for(line, "plain", 12.5)

    told = [reasons(line, name) for name in PROBES]
    assert told[0] == told[1] == told[2] == told[3]
    assert len(told[0]) == len(UNREADABLE) + 1
    assert all(reason.startswith("not JSON: ") for reason in told[0][:-1])
    assert told[0][-1] == f"{len(huge)} bytes are more than max_payload_bytes"
    good = [one["value"] for one in history(line, "line_a/probe/number") if one["quality"] == GOOD]
    assert good == [float(number) for number in range(1, len(UNREADABLE) + 2)]
    assert len(reasons(line, "plain")) == 4
    unusable = len(UNREADABLE) + 1 + len(ILLEGIBLE_UNITS) + 1
    status = until(line, "the count", lambda s: source(s, "cold_end")["rejections"] >= unusable)
    assert source(status, "cold_end")["rejections"] == unusable
    assert metric(line, 'edged_source_rejected_total{source="cold_end"}') == unusable


def test_values_of_the_wrong_type_say_so(mischief: Mischief) -> None:
    line = mischief.line
    before = [len(reasons(line, name)) for name in PROBES]
    wrong: Sequence[Json] = (
        {"number": "hot", "whole": 1.5, "flag": 2, "word": 7},
        {"number": True, "whole": "1", "flag": "on", "word": None},
        {"number": None, "whole": 2**70, "flag": [], "word": {}},
        {"number": [], "whole": {}, "flag": None},
    )
    for values in wrong:
        mischief.send(PROBE_TOPIC, document(**values))
    for payload in (b"5", b"[]", b"null", b'"text"'):
        mischief.send(PROBE_TOPIC, payload)
    mischief.send(PROBE_TOPIC, document(number=100.0, whole=100, flag=True, word="end"))
    wait_for(line, "word", "end")
    told = {name: reasons(line, name)[skip : skip + 4] for name, skip in zip(PROBES, before, strict=True)}
    assert told == {
        "number": [
            "expected float, got text",
            "expected float, got a truth value",
            "null",
            "expected float, got an array",
        ],
        "whole": [
            "expected int, got a number",
            "expected int, got text",
            "expected int, got a number",
            "expected int, got an object",
        ],
        "flag": ["expected bool, got a number", "expected bool, got text", "expected bool, got an array", "null"],
        "word": ["expected string, got a number", "null", "expected string, got an object", "missing in the payload"],
    }
    for name, skip in zip(PROBES, before, strict=True):
        assert reasons(line, name)[skip + 4 :] == ["missing in the payload"] * 4


def test_times_that_cannot_be_are_uncertain(mischief: Mischief) -> None:
    line = mischief.line
    stamps: Sequence[object] = ("yesterday", -5, None, {}, 1e300, 946_684_800_000, now() + 86_400_000)
    for number, stamp in enumerate(stamps):
        mischief.send(PROBE_TOPIC, document(timestamp=stamp, number=200.0 + number, whole=1, flag=True, word="late"))
    wait_for(line, "number", 206.0)
    held = [one for one in history(line, "line_a/probe/number") if one["value"] is not None and one["value"] >= 200]
    assert [one["quality"] for one in held] == [UNCERTAIN] * 7
    assert [one["reason"] for one in held[:5]] == ["no usable timestamp in the payload"] * 5
    assert held[5]["reason"] == f"clock_skew:{stamps[5]}000000"
    assert held[6]["reason"] == f"clock_skew:{stamps[6]}000000"
    assert all(one["timestamp"] == one["received"] for one in held)


def test_sparkplug_garbage_changes_nothing(mischief: Mischief) -> None:
    line, send = mischief.line, mischief.send
    before = until(line, "the status", lambda _: True)["sparkplug"]["refused_commands"]
    for payload in (*GARBAGE, b""):
        for topic in ("NCMD/line_a", "DCMD/line_a/forming", "DCMD/line_a/nowhere", "DCMD/line_a/a/b/c"):
            send(f"spBv1.0/glassworks/{topic}", payload)
        if payload:
            send(f"spBv1.0/STATE/{HOST}", payload)
            send(f"STATE/{HOST}", payload)
    send("spBv1.0/glassworks/NCMD/line_a", bytes(100_000))
    send("spBv1.0/glassworks/NCMD/line_a", Payload(timestamp=now()).SerializeToString())
    for value in (b"[]", b'{"online": "yes"}', b'{"online": 1, "timestamp": "x"}', b"null"):
        send(f"spBv1.0/STATE/{HOST}", value)
    states = 2 * len(GARBAGE) + 4
    refused = before + 4 * (len(GARBAGE) + 1) + 2 + states
    status = until(line, "the count", lambda s: s["sparkplug"]["refused_commands"] >= refused)
    assert status["sparkplug"]["refused_commands"] == refused
    assert status["sparkplug"]["online"]
    assert status["sparkplug"]["host"] == "online"
    outcomes = {kind: metric(line, WISH_METRIC.format(kind)) for kind in ("foreign_topic", "too_large", "empty")}
    assert outcomes == {"foreign_topic": 2.0 * (len(GARBAGE) + 1), "too_large": 1.0, "empty": 3.0}
    assert status["sparkplug"]["rebirths"] == 0
    assert plant_writes(line) == []


def test_a_rebirth_still_works_after_garbage(mischief: Mischief) -> None:
    host = SparkplugHost(mischief.line.mqtt_port)
    try:
        payload = Payload()
        payload.metrics.add(name="Node Control/Rebirth", boolean_value=True)
        mischief.send("spBv1.0/glassworks/NCMD/line_a", payload.SerializeToString())
        until(mischief.line, "the rebirth", lambda status: status["sparkplug"]["rebirths"] == 1)
        wait_until("births and data", lambda: host.births >= 5 and host.values > 0)
        assert host.unreadable == 0
    finally:
        host.close()


def test_commands_that_may_not_be_are_refused_and_nothing_is_written(mischief: Mischief) -> None:
    line = mischief.line
    until(line, "the loop in MAN", lambda status: status["loops"][0]["actual_mode"] == "MAN")
    baseline = float(next(one for one in reversed(history(line, OUTPUT)) if one["quality"] == GOOD)["value"])
    before = until(line, "the status", lambda _: True)["sparkplug"]["refused_commands"]
    beyond = baseline - APPROVAL_THRESHOLD - 1.0
    name = OUTPUT.rpartition("/")[2]
    mischief.command("forming", name, beyond)
    mischief.command("forming", name, 1e9)
    mischief.command("forming", name, float("nan"))
    mischief.command("forming", name, float("inf"))
    mischief.command("forming", name, "fast")
    mischief.command("forming", name, None)
    mischief.command("forming", "thickness", 3.0)
    mischief.command("forming", "no_such_metric", 3.0)
    mischief.command("furnace", "temperature", 1500.0)
    mischief.command("furnace", "temperature_setpoint", 1500.0)
    mischief.command("forming", "mould_temperature_setpoint", 400.0)
    status = until(line, "every refusal", lambda s: s["sparkplug"]["refused_commands"] >= before + 11)
    assert metric(line, WISH_METRIC.format("retained")) == 1.0
    assert status["sparkplug"]["accepted_commands"] == 0
    line.wait_until_drained()
    told = " | ".join(alarm["message"] for alarm in held_alarms(line, "control_wish_refused"))
    waiting = " | ".join(alarm["message"] for alarm in held_alarms(line, "control_approval"))
    assert f"waits to move to {beyond:g} m/min: approval" in waiting
    assert "1000000000.0 refused: limits" in told
    assert "no loop of this line writes line_a/furnace/temperature_setpoint" in told
    assert "no loop of this line writes line_a/forming/mould_temperature_setpoint" in told
    outcomes = {kind: metric(line, WISH_METRIC.format(kind)) for kind in ("read_only", "wrong_type", "unknown_metric")}
    assert outcomes == {"read_only": 2.0, "wrong_type": 4.0, "unknown_metric": 1.0}
    assert plant_writes(line) == []
    assert status["loops"][0]["verified_writes"] == 0


def test_a_command_within_its_bounds_is_carried_out(mischief: Mischief) -> None:
    """The counter-proof: the path from a DCMD to the plant's journal is open."""
    line = mischief.line
    baseline = float(next(one for one in reversed(history(line, OUTPUT)) if one["quality"] == GOOD)["value"])
    mischief.command("forming", OUTPUT.rpartition("/")[2], baseline + 0.5)
    wait_until("the write", lambda: bool(plant_writes(line)), line.processes["edged"])
    until(line, "its verification", lambda status: status["loops"][0]["readback"] == pytest.approx(baseline + 0.5))
    assert {signal for signal, _ in plant_writes(line)} == {OUTPUT}
    assert all(baseline < value <= baseline + 0.5 + 1e-6 for _, value in plant_writes(line))


def test_nothing_else_was_lost(mischief: Mischief) -> None:
    """The last one: it stops the daemon, and the checker judges every value of the plant."""
    status = mischief.line.status()
    assert status is not None
    assert not [service for service in status["services"] if service["restarts"]]
    assert source(status, "cold_end")["sessions"] == 1
    found = finish(mischief.line)
    assert found.gaps == []
