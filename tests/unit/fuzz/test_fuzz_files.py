"""Small files of the edge and bodies of the hub after accidents: used, or refused in the one way that is declared."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tempfile
import zlib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import strategies as st

from edged.config import load, load_limits
from edged.errors import ConfigError, DamagedRecord
from edged.faults import Faults
from edged.outbox_bounds import bounds_path, read_bounds
from edged.records import decode, encode_events, encode_samples
from edged.taglist import COLUMNS, read_tag_list
from edged.types import Alarm, AlarmState, BatchKey, Event, Gap, Lane, Priority, QualityResult, Sample, SeqRange
from edged_cloud_sync import wire
from edged_cloud_sync.wire import Answer, Envelope, Refusal, WireBatch, WireCommand, WireError, WireVerdict
from edged_cloud_sync.wire_commands import CommandState
from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel, UnusableModel, faults_of
from edged_control.process_model.linear import load as load_model
from edged_control.process_model.linear import save as save_model
from edged_inference.manifest import MANIFEST_FILE, ModelRefused, load_bundle
from tests.conftest import PROJECT
from tests.unit.fuzz.tiers import bent, tiers

EXAMPLE = PROJECT / "configs/line-a.yaml"
CEILING = PROJECT / "configs/ceiling-line-a.yaml"
NOW = 1_767_225_600_000_000_000
SAMPLES = [
    Sample("line_a/furnace/temperature", 1500.0 + number, NOW + number * 10**8, NOW + number * 10**8 + 5)
    for number in range(60)
]
MIXED = [
    Sample("line_a/forming/running", True, NOW, NOW),
    Sample("line_a/forming/scan", 2**70, NOW + 1, NOW + 2, 64, "skew"),
    Sample("line_a/mik_1/defect", None, NOW + 2, NOW + 2, 0, "source_offline"),
    Sample("line_a/mik_1/defect", "crack ü", NOW + 3, NOW + 3),
]
EVENTS: list[Event] = [
    Gap("opcua", 1, 2, "source_overflow", "s", "process", 1, 5, 9),
    Alarm("hot", "line_a/furnace/temperature", AlarmState.UNACKNOWLEDGED, Priority.HIGH, "too hot", 3, 1650.5),
    QualityResult("u-1", NOW, False, "bubble", "cold_end"),
]
BLOBS = [encode_samples(SAMPLES), encode_samples(MIXED), encode_events(EVENTS), encode_samples([])]
KEY = BatchKey("0b9e6a52-8f2f-4d8e-9a57-0a3d0b6d3c11", Lane.PROCESS, 7)
OFFER = SeqRange(KEY.stream, Lane.EVENTS, 1, 9)
ENVELOPES = [
    wire.encode_envelope(Envelope("line_a", [WireBatch(KEY, 60, BLOBS[0]), WireBatch(KEY, 4, BLOBS[1])], [OFFER])),
    wire.encode_envelope(Envelope("line_a", [], [], [WireVerdict("ab" * 16, CommandState.CLAMPED, "rate: too fast")])),
]
COMMAND = WireCommand("ab" * 16, "anna", "line_a/forming/belt_speed_setpoint", 152.5, 29.5)
ANSWERS = [wire.encode_answer(Answer([KEY], 1, [Refusal(KEY, "damaged")], [OFFER], [COMMAND]))]
MANIFEST = next(PROJECT.glob("configs/models/*/manifest.json")).read_bytes()


def decode_a_blob(blob: bytes) -> None:
    try:
        read = decode(blob)
    except DamagedRecord:
        return
    samples = [record for record in read if isinstance(record, Sample)]
    assert all(math.isfinite(sample.value) for sample in samples if isinstance(sample.value, float))
    again = encode_samples(samples) if samples else encode_events([r for r in read if not isinstance(r, Sample)])
    assert not read or decode(again) == read


def decode_an_envelope(body: bytes) -> None:
    try:
        envelope = wire.decode_envelope(body)
    except WireError:
        return
    assert wire.decode_envelope(wire.encode_envelope(envelope)) == envelope
    for batch in envelope.batches:
        decode_a_blob(batch.blob)


def decode_an_answer(body: bytes) -> None:
    try:
        answer = wire.decode_answer(body)
    except WireError:
        return
    assert wire.decode_answer(wire.encode_answer(answer)) == answer


def load_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "line.yaml"
    path.write_bytes(content)
    try:
        config = load(path, MappingProxyType({"EDGED_HUB_SECRET": "x"}), tolerate_missing=True)
    except ConfigError as error:
        faults = error.faults
    else:
        faults = [f"{path}: none"]
        assert config.settings.site
    assert faults
    assert all(fault.startswith(str(tmp_path)) for fault in faults)


def load_a_ceiling(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ceiling.yaml"
    path.write_bytes(content)
    faults: list[str] = []
    try:
        limits = load_limits(path, "line_a")
    except ConfigError as error:
        limits, faults = (), error.faults
    assert all(fault.startswith(f"{path}:") for fault in faults)
    assert all(limit.low < limit.high and limit.rate_per_second > 0 for limit in limits)


def read_tags(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tags.csv"
    path.write_bytes(content)
    faults = Faults()
    rows = read_tag_list(path, faults)
    assert all("address" in row.signal for row in rows)


def read_the_bounds(tmp_path: Path, content: bytes) -> None:
    outbox = tmp_path / "outbox.db"
    bounds_path(outbox).write_bytes(b"%08x %b\n" % (zlib.crc32(content), content))
    known = read_bounds(outbox)
    assert known is None or all(type(number) is int for number in (*known.oldest.values(), *known.sources.values()))


def load_a_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(ModelRefused, match=re.escape(str(tmp_path))):
        load_bundle(tmp_path)


def saved_model(dynamics: Dynamics | None = None) -> bytes:
    """A process model as it stands on disk."""
    model = ProcessModel((Port("l/a", "m/min"),), (Port("l/b", "mm"),), ((Channel(-0.2, 4.0, 9.0),),), dynamics)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        save_model(Artefact(model, 1.0, (91.0,), (88.5,), (0.01,), "step test", "0" * 64), path)
        return path.read_bytes()


def changed_dynamics(where: str, item: object) -> bytes:
    """One field of the matrices replaced, with the hash that fits where there is one."""
    content = json.loads(PROCESS_MODELS[1])
    content["model"]["dynamics"][where] = item
    del content["hash"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    content["hash"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return json.dumps(content).encode()


def load_a_process_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    said = str(path)
    try:
        model = load_model(path).model
    except UnusableModel as refusal:
        said = str(refusal)
    else:
        assert faults_of(model) == []
    assert str(path) in said


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
NESTED: st.SearchStrategy[Any] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
PROCESS_MODELS = (saved_model(), saved_model(Dynamics(1.0, 40.0, (4,), ((0.5,),), ((0.5,),), ((-0.2,),))))
matrices = st.builds(
    changed_dynamics,
    st.sampled_from(sorted(json.loads(PROCESS_MODELS[1])["model"]["dynamics"])),
    NESTED | st.sampled_from(("\ud800", 10**400, [[10**400]], [[1e308]], [[0.5, 1e308], [1e308, 0.5]], [True], [-1])),
)
artefacts = st.builds(
    lambda model, where, item: json.dumps(json.loads(model) | {where: item}).encode(),
    st.sampled_from(PROCESS_MODELS),
    st.sampled_from(sorted(json.loads(PROCESS_MODELS[0]))),
    NESTED | st.sampled_from(("\ud800", [10**400], [[{"gain": 10**400}]])),
)
LIMITS = CEILING.read_bytes()
TAGS = ",".join(COLUMNS).encode() + b"\npress/temperature,degC,float,0,400,1,false,ns=2;s=T,text\n"
BOUNDS = b'{"stream": "s", "oldest": {"process": 1, "events": 2}, "spread": 3, "sources": {"press": 4}}'
DEEP = b"[" * 5000

test_blob, test_blob_long = tiers(decode_a_blob, blob=bent(BLOBS))
test_envelope, test_envelope_long = tiers(decode_an_envelope, body=bent(ENVELOPES) | NESTED.map(msgpack.packb))
test_answer, test_answer_long = tiers(decode_an_answer, body=bent(ANSWERS) | NESTED.map(orjson.dumps))
test_line, test_line_long = tiers(load_a_line, short=40, long=4000, content=bent([EXAMPLE.read_bytes()]))
test_ceiling, test_ceiling_long = tiers(load_a_ceiling, content=bent([LIMITS]))
test_tags, test_tags_long = tiers(read_tags, content=bent([TAGS]))
test_bounds, test_bounds_long = tiers(
    read_the_bounds, content=bent([BOUNDS]) | NESTED.map(orjson.dumps) | st.just(DEEP)
)
test_bundle, test_bundle_long = tiers(load_a_bundle, content=bent([MANIFEST]) | NESTED.map(orjson.dumps))
test_process_model, test_process_model_long = tiers(
    load_a_process_model,
    content=bent(list(PROCESS_MODELS)) | artefacts | matrices | NESTED.map(orjson.dumps) | st.just(DEEP),
)
