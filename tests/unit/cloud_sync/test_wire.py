"""The wire: what is encoded comes back, and nothing that comes from outside gets past the decoders' bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import BatchKey, Lane, SeqRange
from edged_cloud_sync import wire, wire_commands
from edged_cloud_sync.wire import Answer, Envelope, Refusal, WireBatch, WireCommand, WireError, WireVerdict

SEQS = st.integers(1, wire.MAX_SEQ)
STREAMS = st.from_regex(wire.STREAM_PATTERN, fullmatch=True)
KEYS = st.builds(BatchKey, STREAMS, st.sampled_from(Lane), SEQS)
BATCHES = st.builds(WireBatch, KEYS, st.integers(0, wire.MAX_ROWS), st.binary(max_size=200))
RANGES = st.builds(
    lambda stream, lane, one, two: SeqRange(stream, lane, min(one, two), max(one, two)),
    STREAMS,
    st.sampled_from(Lane),
    SEQS,
    SEQS,
)
NODES = st.from_regex(wire.NODE_PATTERN, fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=wire_commands.MAX_REASON_LENGTH)
IDENTITIES = st.from_regex(wire_commands.IDENTITY_PATTERN, fullmatch=True)
VERDICTS = st.builds(WireVerdict, IDENTITIES, st.sampled_from(wire_commands.VERDICTS), TEXTS)
COMMANDS = st.builds(
    WireCommand,
    IDENTITIES,
    st.from_regex(wire_commands.USER_PATTERN, fullmatch=True),
    st.from_regex(wire_commands.SIGNAL_PATTERN, fullmatch=True).filter(
        lambda signal: len(signal) <= wire_commands.MAX_SIGNAL_LENGTH
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0.0, wire_commands.MAX_LIFE_SECONDS, exclude_min=True),
)
ENVELOPES = st.builds(
    Envelope, NODES, st.lists(BATCHES, max_size=5), st.lists(RANGES, max_size=3), st.lists(VERDICTS, max_size=3)
)
ANSWERS = st.builds(
    Answer,
    st.lists(KEYS, max_size=5),
    st.integers(0, wire.MAX_BATCHES),
    st.lists(st.builds(Refusal, KEYS, st.text(st.characters(exclude_categories=["Cs"]))), max_size=3),
    st.lists(RANGES, max_size=3),
    st.lists(COMMANDS, max_size=3),
)
ASCII = st.characters(max_codepoint=127)
ANSWER_FIELDS = st.sampled_from(
    ["accepted", "duplicates", "refused", "lacks", "commands", "key", "reason", "id", "user", "value", "lives_seconds"]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
JSON_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(ASCII)
JSON_LIKE = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANSWER_FIELDS, inner, max_size=4),
)
NAMES = st.sampled_from(
    [
        "version",
        "node",
        "batches",
        "offers",
        "verdicts",
        "stream",
        "lane",
        "seq",
        "rows",
        "blob",
        "first",
        "id",
        "verdict",
    ]
)


@given(ENVELOPES)
def test_an_envelope_comes_back_as_it_was(envelope: Envelope) -> None:
    assert wire.decode_envelope(wire.encode_envelope(envelope)) == envelope


@given(ANSWERS)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    assert wire.decode_answer(wire.encode_answer(answer)) == answer


@given(st.binary(max_size=400))
def test_any_bytes_are_an_envelope_or_a_wire_error(body: bytes) -> None:
    _decode_or_refuse(body)


@given(ANYTHING)
def test_any_msgpack_is_an_envelope_or_a_wire_error(item: object) -> None:
    _decode_or_refuse(msgpack.packb(item))


@given(ENVELOPES, st.data())
def test_a_damaged_envelope_is_sound_or_a_wire_error(envelope: Envelope, data: st.DataObject) -> None:
    body = bytearray(wire.encode_envelope(envelope))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(body[: data.draw(st.integers(1, len(body)))]))


@given(ENVELOPES, NAMES, ANYTHING, st.data())
def test_any_field_replaced_is_sound_or_a_wire_error(
    envelope: Envelope, name: str, item: object, data: st.DataObject
) -> None:
    fields = msgpack.unpackb(wire.encode_envelope(envelope))
    holders = [fields, *fields["batches"], *fields["offers"], *fields.get("verdicts", [])]
    data.draw(st.sampled_from(holders))[name] = item
    _decode_or_refuse(msgpack.packb(fields))


@given(st.binary(max_size=200) | JSON_LIKE.map(orjson.dumps))
def test_any_answer_is_sound_or_a_wire_error(body: bytes) -> None:
    try:
        answer = wire.decode_answer(body)
    except WireError:
        return
    assert all(1 <= key.seq <= wire.MAX_SEQ for key in answer.accepted)
    _sound(answer.commands)


@given(ANSWERS.filter(lambda answer: bool(answer.commands)), ANSWER_FIELDS, JSON_LIKE, st.data())
def test_any_field_of_a_command_replaced_is_sound_or_a_wire_error(
    answer: Answer, name: str, item: object, data: st.DataObject
) -> None:
    fields = orjson.loads(wire.encode_answer(answer))
    data.draw(st.sampled_from([fields, *fields["commands"]]))[name] = item
    try:
        decoded = wire.decode_answer(orjson.dumps(fields))
    except WireError:
        return
    _sound(decoded.commands)


def test_without_commands_and_verdicts_a_peer_that_knows_none_understands() -> None:
    """One version older, both decoders wanted exactly these fields."""
    envelope = msgpack.unpackb(wire.encode_envelope(Envelope("line_a", [])))
    assert set(envelope) == {"version", "node", "batches", "offers"}
    answer = orjson.loads(wire.encode_answer(Answer([])))
    assert set(answer) == {"accepted", "duplicates", "refused", "lacks"}
    assert wire.decode_envelope(msgpack.packb(envelope)).verdicts == []
    assert wire.decode_answer(orjson.dumps(answer)).commands == []


@pytest.mark.parametrize(
    ("field", "item", "sentence"),
    [
        ("id", "x" * 32, "id: expected text like"),
        ("id", None, "id: expected text like"),
        ("user", "Anna B", "user: expected text like"),
        ("signal", "line_a/belt", "signal: expected text like"),
        ("signal", "line_a/" + "a" * 200 + "/b", "signal: expected at most 200 characters, got 209"),
        ("value", "fast", "value: expected a finite number, got 'fast'"),
        ("value", True, "value: expected a finite number, got True"),
        ("value", None, "value: expected a finite number, got None"),
        ("lives_seconds", 0, "lives_seconds: expected 0..60, got 0"),
        ("lives_seconds", 61.5, "lives_seconds: expected 0..60, got 61.5"),
        ("more", 1, "expected a map of id, user, signal, value, lives_seconds"),
    ],
)
def test_a_wrong_field_of_a_command_is_named(field: str, item: object, sentence: str) -> None:
    command = {"id": "0" * 32, "user": "anna", "signal": "line_a/a/b", "value": 1.0, "lives_seconds": 30.0}
    fields = {"accepted": [], "duplicates": 0, "refused": [], "lacks": [], "commands": [command | {field: item}]}
    with pytest.raises(WireError) as caught:
        wire.decode_answer(orjson.dumps(fields))
    assert str(caught.value).startswith("commands[0]")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("field", "item", "sentence"),
    [
        ("id", 7, "id: expected text like"),
        ("verdict", "waiting", "verdict: expected one of allowed, clamped, refused, needs_approval, got 'waiting'"),
        ("verdict", ["allowed"], "verdict: expected one of"),
        ("reason", "x" * 501, "reason: expected at most 500 characters"),
        ("reason", b"x", "reason: expected at most 500 characters, got bytes of 1"),
    ],
)
def test_a_wrong_field_of_a_verdict_is_named(field: str, item: object, sentence: str) -> None:
    verdict = {"id": "0" * 32, "verdict": "allowed", "reason": ""} | {field: item}
    fields = {"version": 1, "node": "line_a", "batches": [], "offers": [], "verdicts": [verdict]}
    with pytest.raises(WireError) as caught:
        wire.decode_envelope(msgpack.packb(fields))
    assert str(caught.value).startswith(f"verdicts[0].{sentence[:4]}")
    assert sentence in str(caught.value)


def test_more_commands_or_verdicts_than_the_bound_are_refused() -> None:
    one = WireCommand("0" * 32, "anna", "line_a/a/b", 1.0, 30.0)
    with pytest.raises(WireError, match="commands: expected a list of at most 100, got list of 101"):
        wire.decode_answer(wire.encode_answer(Answer([], commands=[one] * 101)))
    verdict = WireVerdict("0" * 32, wire_commands.CommandState.ALLOWED)
    with pytest.raises(WireError, match="verdicts: expected a list of at most 100, got list of 101"):
        wire.decode_envelope(wire.encode_envelope(Envelope("line_a", [], [], [verdict] * 101)))


@pytest.mark.parametrize(
    ("field", "item", "sentence"),
    [
        ("version", 2, "version: this hub reads version 1, got 2"),
        ("version", True, "version: this hub reads version 1, got True"),
        ("node", "Line A", "node: expected text like"),
        ("node", "a" * 65, "node: expected text like"),
        ("batches", {}, "batches: expected a list of at most 4096, got dict of 0"),
        ("offers", [1], "offers[0]: expected a map of stream, lane, first, last, got 1"),
    ],
)
def test_a_wrong_field_is_named(field: str, item: object, sentence: str) -> None:
    fields = {"version": 1, "node": "line_a", "batches": [], "offers": []} | {field: item}
    with pytest.raises(WireError, match=sentence.replace("[", r"\[").replace("]", r"\]")):
        wire.decode_envelope(msgpack.packb(fields))


@pytest.mark.parametrize(
    ("field", "item"),
    [
        ("seq", 0),
        ("seq", 2**63),
        ("seq", True),
        ("rows", -1),
        ("rows", 1.0),
        ("lane", "gold"),
        ("stream", "a/b"),
        ("blob", "text"),
        ("blob", bytes(wire.MAX_BLOB_BYTES + 1)),
    ],
)
def test_a_wrong_field_of_a_batch_is_named(field: str, item: object) -> None:
    batch = {"stream": "s", "lane": "events", "seq": 1, "rows": 1, "blob": b"x"} | {field: item}
    fields = {"version": 1, "node": "line_a", "batches": [batch], "offers": []}
    with pytest.raises(WireError, match=rf"batches\[0\].{field}"):
        wire.decode_envelope(msgpack.packb(fields))


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    offer = {"stream": "s", "lane": "events", "first": 5, "last": 4}
    with pytest.raises(WireError, match="last: expected a whole number 5"):
        wire.decode_envelope(msgpack.packb({"version": 1, "node": "line_a", "batches": [], "offers": [offer]}))


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(WireError, match="envelope: expected a map"):
        wire.decode_envelope(msgpack.packb({"version": 1, "node": "a", "batches": [], "offers": [], "more": 1}))


def test_a_body_beyond_the_bound_is_not_even_unpacked() -> None:
    with pytest.raises(WireError, match="is larger than"):
        wire.decode_envelope(bytes(wire.MAX_BODY_BYTES + 1))


def test_a_nest_of_lists_is_refused() -> None:
    with pytest.raises(WireError, match="not msgpack"):
        wire.decode_envelope(b"\x91" * 5000 + b"\xc0")


def test_a_wrong_item_is_shown_short() -> None:
    with pytest.raises(WireError) as caught:
        wire.decode_envelope(msgpack.packb("x" * 10_000))
    assert len(str(caught.value)) < 150


def _decode_or_refuse(body: bytes) -> None:
    """Decodes within every bound, or raises WireError; anything else fails the test."""
    try:
        envelope = wire.decode_envelope(body)
    except WireError:
        return
    assert wire.NODE_PATTERN.fullmatch(envelope.node)
    for batch in envelope.batches:
        assert wire.STREAM_PATTERN.fullmatch(batch.key.stream)
        assert 1 <= batch.key.seq <= wire.MAX_SEQ
        assert 0 <= batch.rows <= wire.MAX_ROWS
        assert len(batch.blob) <= wire.MAX_BLOB_BYTES
    assert all(1 <= offer.first <= offer.last <= wire.MAX_SEQ for offer in envelope.offers)
    for verdict in envelope.verdicts:
        assert wire_commands.IDENTITY_PATTERN.fullmatch(verdict.identity)
        assert verdict.state in wire_commands.VERDICTS
        assert len(verdict.reason) <= wire_commands.MAX_REASON_LENGTH


def _sound(commands: Sequence[WireCommand]) -> None:
    for command in commands:
        assert wire_commands.IDENTITY_PATTERN.fullmatch(command.identity)
        assert wire_commands.SIGNAL_PATTERN.fullmatch(command.signal)
        assert math.isfinite(command.value)
        assert 0.0 < command.lives_seconds <= wire_commands.MAX_LIFE_SECONDS
