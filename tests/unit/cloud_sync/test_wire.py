"""The wire: what is encoded comes back, and nothing that comes from outside gets past the decoders' bounds."""

from __future__ import annotations

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.types import BatchKey, Lane, SeqRange
from edged_cloud_sync import wire
from edged_cloud_sync.wire import Answer, Envelope, Refusal, WireBatch, WireError

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
ENVELOPES = st.builds(Envelope, NODES, st.lists(BATCHES, max_size=5), st.lists(RANGES, max_size=3))
ANSWERS = st.builds(
    Answer,
    st.lists(KEYS, max_size=5),
    st.integers(0, wire.MAX_BATCHES),
    st.lists(st.builds(Refusal, KEYS, st.text(st.characters(exclude_categories=["Cs"]))), max_size=3),
    st.lists(RANGES, max_size=3),
)
ASCII = st.characters(max_codepoint=127)
ANSWER_FIELDS = st.sampled_from(["accepted", "duplicates", "refused", "lacks", "key", "reason"])
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
JSON_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(ASCII)
JSON_LIKE = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANSWER_FIELDS, inner, max_size=4),
)
NAMES = st.sampled_from(["version", "node", "batches", "offers", "stream", "lane", "seq", "rows", "blob", "first"])


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
    holders = [fields, *fields["batches"], *fields["offers"]]
    data.draw(st.sampled_from(holders))[name] = item
    _decode_or_refuse(msgpack.packb(fields))


@given(st.binary(max_size=200) | JSON_LIKE.map(orjson.dumps))
def test_any_answer_is_sound_or_a_wire_error(body: bytes) -> None:
    try:
        answer = wire.decode_answer(body)
    except WireError:
        return
    assert all(1 <= key.seq <= wire.MAX_SEQ for key in answer.accepted)


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
