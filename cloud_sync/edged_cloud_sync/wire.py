"""The wire between an edge and the hub: batches travel as the outbox's own bytes inside a small envelope.

A request is one msgpack map, an answer one JSON object. Both decoders are strict and bounded: what they return is
sound, anything else is a WireError that says what was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import msgpack
import orjson

from edged.errors import EdgedError
from edged.types import BatchKey, Lane, SeqRange

VERSION = 1
INGEST_PATH = "/api/v1/ingest"
CONTENT_TYPE = "application/vnd.edged.batches+msgpack"

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_BATCHES = 4096
MAX_BLOB_BYTES = 8 * 1024 * 1024
MAX_ROWS = 1_000_000
MAX_OFFERS = 1024
MAX_MAP_FIELDS = 16
MAX_SEQ = 2**63 - 1
BATCH_OVERHEAD_BYTES = 160
"""What key, row count and map keys of one batch add to its blob, at most."""

NODE_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
STREAM_PATTERN = re.compile(r"[0-9A-Za-z-]{1,64}")


class WireError(EdgedError):
    """A message between edge and hub cannot be understood: both sides must speak the same version."""


class WireBatch(NamedTuple):
    """One batch on the wire; `blob` is exactly what the outbox stored."""

    key: BatchKey
    rows: int
    blob: bytes


class Envelope(NamedTuple):
    """What one POST carries. `offers` are the ranges that the edge still holds and will send by itself."""

    node: str
    batches: Sequence[WireBatch]
    offers: Sequence[SeqRange] = ()


class Refusal(NamedTuple):
    """A batch that the hub could not read, and why. The hub keeps its bytes aside."""

    key: BatchKey
    reason: str


class Answer(NamedTuple):
    """What the hub holds for good after its commit. `accepted` includes the `duplicates` it already held."""

    accepted: Sequence[BatchKey]
    duplicates: int = 0
    refused: Sequence[Refusal] = ()
    lacks: Sequence[SeqRange] = ()


def encode_envelope(envelope: Envelope) -> bytes:
    """The body of one POST."""
    body: bytes = msgpack.packb(
        {
            "version": VERSION,
            "node": envelope.node,
            "batches": [
                {"stream": key.stream, "lane": key.lane.value, "seq": key.seq, "rows": rows, "blob": blob}
                for key, rows, blob in envelope.batches
            ],
            "offers": [
                {"stream": offer.stream, "lane": offer.lane.value, "first": offer.first, "last": offer.last}
                for offer in envelope.offers
            ],
        }
    )
    return body


def decode_envelope(body: bytes) -> Envelope:
    """The envelope in a request body. Raises WireError; never returns names, numbers or sizes out of bounds."""
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"body of {len(body)} bytes is larger than {MAX_BODY_BYTES}")
    fields = _fields(_unpack(body), "envelope", ("version", "node", "batches", "offers"))
    if fields["version"] != VERSION or isinstance(fields["version"], bool):
        raise WireError(f"version: this hub reads version {VERSION}, got {_shown(fields['version'])}")
    node = _text(fields["node"], "node", NODE_PATTERN)
    batches = _list(fields["batches"], "batches", MAX_BATCHES)
    offers = _list(fields["offers"], "offers", MAX_OFFERS)
    return Envelope(
        node,
        [_batch(item, f"batches[{number}]") for number, item in enumerate(batches)],
        [_range_of_map(item, f"offers[{number}]") for number, item in enumerate(offers)],
    )


def encode_answer(answer: Answer) -> bytes:
    """The hub's answer."""
    return orjson.dumps(
        {
            "accepted": answer.accepted,
            "duplicates": answer.duplicates,
            "refused": [{"key": key, "reason": reason} for key, reason in answer.refused],
            "lacks": answer.lacks,
        },
        default=tuple,
    )


def decode_answer(body: bytes) -> Answer:
    """The answer in a response body. Raises WireError."""
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"answer of {len(body)} bytes is larger than {MAX_BODY_BYTES}")
    try:
        fields = _fields(orjson.loads(body), "answer", ("accepted", "duplicates", "refused", "lacks"))
    except orjson.JSONDecodeError as fault:
        raise WireError(f"the answer is not JSON: {fault}") from fault
    refused = [
        _fields(item, f"refused[{number}]", ("key", "reason"))
        for number, item in enumerate(_list(fields["refused"], "refused", MAX_BATCHES))
    ]
    return Answer(
        [_key(item, "accepted") for item in _list(fields["accepted"], "accepted", MAX_BATCHES)],
        _number(fields["duplicates"], "duplicates", 0, MAX_BATCHES),
        [Refusal(_key(item["key"], "refused.key"), str(item["reason"])) for item in refused],
        [_range_of_list(item, "lacks") for item in _list(fields["lacks"], "lacks", MAX_BATCHES)],
    )


def _unpack(body: bytes) -> object:
    try:
        return msgpack.unpackb(body, max_array_len=MAX_BATCHES, max_map_len=MAX_MAP_FIELDS)
    except (ValueError, msgpack.UnpackException) as fault:
        raise WireError(f"the body is not msgpack: {str(fault) or type(fault).__name__}") from fault


def _batch(item: object, where: str) -> WireBatch:
    fields = _fields(item, where, ("stream", "lane", "seq", "rows", "blob"))
    blob = fields["blob"]
    if not isinstance(blob, bytes) or len(blob) > MAX_BLOB_BYTES:
        raise WireError(f"{where}.blob: at most {MAX_BLOB_BYTES} bytes, got {_shown(blob)}")
    key = BatchKey(
        _text(fields["stream"], f"{where}.stream", STREAM_PATTERN),
        _lane(fields["lane"], f"{where}.lane"),
        _number(fields["seq"], f"{where}.seq", 1, MAX_SEQ),
    )
    return WireBatch(key, _number(fields["rows"], f"{where}.rows", 0, MAX_ROWS), blob)


def _range_of_map(item: object, where: str) -> SeqRange:
    fields = _fields(item, where, ("stream", "lane", "first", "last"))
    return _range(fields["stream"], fields["lane"], fields["first"], fields["last"], where)


def _range_of_list(item: object, where: str) -> SeqRange:
    if not _is_list(item) or len(item) != len(SeqRange._fields):
        raise WireError(f"{where}: expected [stream, lane, first, last], got {_shown(item)}")
    return _range(item[0], item[1], item[2], item[3], where)


def _range(stream: object, lane: object, first: object, last: object, where: str) -> SeqRange:
    low = _number(first, f"{where}.first", 1, MAX_SEQ)
    return SeqRange(
        _text(stream, f"{where}.stream", STREAM_PATTERN),
        _lane(lane, f"{where}.lane"),
        low,
        _number(last, f"{where}.last", low, MAX_SEQ),
    )


def _key(item: object, where: str) -> BatchKey:
    if not _is_list(item) or len(item) != len(BatchKey._fields):
        raise WireError(f"{where}: expected [stream, lane, seq], got {_shown(item)}")
    return BatchKey(_text(item[0], where, STREAM_PATTERN), _lane(item[1], where), _number(item[2], where, 1, MAX_SEQ))


def _fields(item: object, where: str, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(item, dict) or item.keys() != set(names):
        raise WireError(f"{where}: expected a map of {', '.join(names)}, got {_shown(item)}")
    return item


def _list(item: object, where: str, longest: int) -> list[object]:
    if not _is_list(item) or len(item) > longest:
        raise WireError(f"{where}: expected a list of at most {longest}, got {_shown(item)}")
    return item


def _is_list(item: object) -> TypeGuard[list[object]]:
    return isinstance(item, list)


def _text(item: object, where: str, pattern: re.Pattern[str]) -> str:
    if not isinstance(item, str) or pattern.fullmatch(item) is None:
        raise WireError(f"{where}: expected text like {pattern.pattern}, got {_shown(item)}")
    return item


def _lane(item: object, where: str) -> Lane:
    if item == Lane.PROCESS.value:
        return Lane.PROCESS
    if item == Lane.EVENTS.value:
        return Lane.EVENTS
    raise WireError(f"{where}: expected process or events, got {_shown(item)}")


def _number(item: object, where: str, low: int, high: int) -> int:
    if not isinstance(item, int) or isinstance(item, bool) or not low <= item <= high:
        raise WireError(f"{where}: expected a whole number {low}..{high}, got {_shown(item)}")
    return item


def _shown(item: object) -> str:
    """A short, safe rendering of a wrong item: whole payloads never reach a log line."""
    if isinstance(item, str | int | float | None):
        return repr(item)[:40]
    if isinstance(item, bytes | list | dict):
        return f"{type(item).__name__} of {len(item)}"
    return type(item).__name__
