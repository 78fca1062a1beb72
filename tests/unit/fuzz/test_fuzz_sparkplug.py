"""Sparkplug payloads, commands and states of any content: read or refused, never raised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import orjson
from hypothesis import strategies as st

from edged_connectors.north.catalog import Catalog
from edged_connectors.north.check import Checker
from edged_connectors.north.check_capture import Captured, CaptureReader, format_line, parse_line
from edged_connectors.north.check_report import Teller, summary
from edged_connectors.north.codec import MalformedPayload, parse
from edged_connectors.north.commands import CommandReader
from edged_connectors.north.host import HostState, PrimaryHost
from edged_connectors.north.rulebook import Rule
from edged_connectors.north.rules import SparkplugRules
from edged_connectors.north.sparkplug_pb2 import Payload
from edged_connectors.north.state import STATE_FILE, StateFile
from edged_connectors.north.topics import Topics
from tests.unit.connectors.sparkplug_line import NOW, SIGNALS
from tests.unit.connectors.sparkplug_mutants import REBIRTH_REQUEST, clean
from tests.unit.fuzz.tiers import bent, tiers

CLEAN = clean()
LINES = [format_line(message) for message in CLEAN]
TOPICS = [
    *sorted({message.topic for message in CLEAN}),
    "spBv1.0/glassworks/NDATA/line_a",
    "spBv1.0/glassworks/DDEATH/line_a/furnace",
    "spBv1.0/glassworks/DCMD/line_a/furnace",
]
COMMAND_TOPICS = ("spBv1.0/glassworks/NCMD/line_a", "spBv1.0/glassworks/DCMD/line_a/furnace", "x")
NUMBERS = st.integers(0, 2**64 - 1) | st.integers(0, 40)
WRITABLE = {signal.path for signal in SIGNALS if signal.writable}


@st.composite
def metrics(draw: st.DrawFn) -> Payload.Metric:
    """A metric of fields that do not belong together."""
    metric = Payload.Metric()
    for name in draw(st.sets(st.sampled_from(("alias", "timestamp", "long_value")))):
        setattr(metric, name, draw(NUMBERS))
    for name in draw(st.sets(st.sampled_from(("is_null", "is_historical", "is_transient", "boolean_value")))):
        setattr(metric, name, draw(st.booleans()))
    if draw(st.booleans()):
        metric.name = draw(st.sampled_from(("bdSeq", "Node Control/Rebirth", "temperature", "", "forming/running")))
    if draw(st.booleans()):
        metric.datatype = draw(st.integers(0, 2**32 - 1) | st.integers(0, 40))
    kind = draw(st.sampled_from(("", "int_value", "float_value", "double_value", "string_value", "bytes_value")))
    values = {"int_value": st.integers(0, 2**32 - 1), "string_value": st.text(max_size=5), "bytes_value": st.binary()}
    if kind:
        setattr(metric, kind, draw(values.get(kind, st.floats(width=32))))
    metric.properties.keys.extend(draw(st.lists(st.sampled_from(("Quality", "engUnit", "x")), max_size=3)))
    for code in draw(st.lists(st.integers(0, 2**32 - 1), max_size=3)):
        metric.properties.values.add(type=draw(st.integers(0, 20)), int_value=code)
    return metric


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """A payload that can be decoded, whatever it means."""
    payload = Payload(metrics=draw(st.lists(metrics(), max_size=4)))
    for name in draw(st.sets(st.sampled_from(("timestamp", "seq")))):
        setattr(payload, name, draw(NUMBERS))
    return payload.SerializeToString()


contents = bent([message.payload for message in CLEAN] + [REBIRTH_REQUEST.SerializeToString()]) | payloads()
captured = st.builds(
    Captured,
    st.integers(NOW, NOW + 10**12),
    st.sampled_from(TOPICS),
    contents,
    st.integers(0, 2),
    st.sampled_from((True, False, None)),
)
sessions = st.lists(st.sampled_from(CLEAN) | captured, max_size=40)


def judge_anything(session: Sequence[Captured], from_birth: bool) -> None:
    rules = SparkplugRules(from_birth=from_birth)
    for at, topic, payload, qos, retain in session:
        for violation in rules.check(topic, payload, retain=retain, qos=qos, at=at):
            assert violation.topic == topic
            assert violation.rule in Rule
            assert violation.detail


def tell_anything(session: Sequence[Captured]) -> None:
    checker, teller = Checker(), Teller(everything=True)
    told = sum(len(list(teller.lines(message, checker.take(message)))) for message in session)
    assert told == checker.violations
    assert any(line.startswith(f"{checker.messages} messages: ") for line in summary(checker))


def read_a_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "capture.jsonl"
    path.write_bytes(content)
    reader, checker = CaptureReader(path), Checker()
    for message in reader:
        checker.take(message)
        assert parse_line(format_line(message)).payload == message.payload
    assert all(fault.startswith(f"{path}:") for fault in reader.faults)


def command_anything(topic: str, payload: bytes, retained: bool) -> None:
    reader = CommandReader(Topics("glassworks", "line_a"), Catalog.of(SIGNALS), writes=True)
    order = reader.read(topic, payload, retained=retained, now=0.0)
    assert order.rebirth or order.proposals or order.refusals
    for proposal in order.proposals:
        assert proposal.signal in WRITABLE
        assert math.isfinite(proposal.value)
        assert topic != "x"
        assert not retained


def parse_anything(payload: bytes) -> None:
    try:
        message = parse(payload)
    except MalformedPayload:
        return
    assert Payload.FromString(message.SerializeToString()) is not None


def hear_anything(heard: Sequence[tuple[str, bytes, bool]]) -> None:
    host = PrimaryHost("scada", 10)
    for number, (topic, payload, retained) in enumerate(heard):
        understood = host.hear(topic, payload, retained=retained, now=NOW + number)
        assert isinstance(understood, bool)
        assert host.state in HostState
        doubt = host.doubt(NOW + number)
        assert doubt is None or doubt.since <= doubt.until


def remember_anything(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    state = StateFile(tmp_path)
    number = state.next_bdseq()
    assert 0 <= number <= 255
    assert StateFile(tmp_path).held == state.held
    assert state.next_bdseq() == (number + 1) % 256


JSON_VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
STATES = st.sampled_from((b"ONLINE", b"OFFLINE", b"online ", b'{"online":true,"timestamp":1790000000000}')) | bent(
    [b'{"online": true, "timestamp": 1790000000000}']
)
STATE_DOCUMENTS = st.fixed_dictionaries({"online": JSON_VALUES, "timestamp": JSON_VALUES}).map(orjson.dumps)
REMEMBERED = st.fixed_dictionaries({}, optional=dict.fromkeys(("bdseq", "host_timestamp", "host_seen"), JSON_VALUES))
HOST_TOPICS = st.sampled_from(("spBv1.0/STATE/scada", "STATE/scada", "STATE/other"))

test_rules, test_rules_long = tiers(judge_anything, session=sessions, from_birth=st.booleans())
test_report, test_report_long = tiers(tell_anything, session=sessions)
test_commands, test_commands_long = tiers(
    command_anything, topic=st.sampled_from(COMMAND_TOPICS), payload=contents, retained=st.booleans()
)
test_parse, test_parse_long = tiers(parse_anything, payload=contents | st.binary(max_size=200))
test_host, test_host_long = tiers(
    hear_anything, heard=st.lists(st.tuples(HOST_TOPICS, STATES | STATE_DOCUMENTS, st.booleans()), max_size=12)
)

test_capture, test_capture_long = tiers(
    read_a_recording,
    content=st.lists(bent(LINES), max_size=5).map(b"".join) | bent([b"".join(LINES[:3])]) | st.binary(max_size=200),
)
test_state_file, test_state_file_long = tiers(
    remember_anything,
    content=REMEMBERED.map(orjson.dumps) | bent([b'{"bdseq":7,"host_timestamp":5,"host_seen":6}']),
)
