"""The wire between an edge and the hub: batches travel as the outbox's own bytes inside a small envelope.

A request is one msgpack map, an answer one JSON object. Both decoders are strict and bounded: what they return is
sound, anything else is a WireError that says what was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgpack
import orjson

from edged.types import BatchKey, Lane, SeqRange
from edged_cloud_sync.wire_commands import (
    WireCommand,
    WireVerdict,
    decode_commands,
    decode_verdicts,
    encode_commands,
    encode_verdicts,
)
from edged_cloud_sync.wire_fields import WireError, fields, is_list, items, shown, text, whole_number

__all__ = ["WireCommand", "WireError", "WireVerdict"]
"""What a user of the wire needs beside what stands here."""

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


class WireBatch(NamedTuple):
    """One batch on the wire; `blob` is exactly what the outbox stored."""

    key: BatchKey
    rows: int
    blob: bytes


class Envelope(NamedTuple):
    """What one POST carries. `offers` are the ranges that the edge still holds and will send by itself.

    `verdicts` are those of commands that the hub handed over: without any the field is left out, so that a hub which
    knows no commands understands the rest.
    """

    node: str
    batches: Sequence[WireBatch]
    offers: Sequence[SeqRange] = ()
    verdicts: Sequence[WireVerdict] = ()


class Refusal(NamedTuple):
    """A batch that the hub could not read, and why. The hub keeps its bytes aside."""

    key: BatchKey
    reason: str


class Answer(NamedTuple):
    """What the hub holds for good after its commit. `accepted` includes the `duplicates` it already held.

    `commands` are left out when there are none: an edge that knows none understands the rest.
    """

    accepted: Sequence[BatchKey]
    duplicates: int = 0
    refused: Sequence[Refusal] = ()
    lacks: Sequence[SeqRange] = ()
    commands: Sequence[WireCommand] = ()


def encode_envelope(envelope: Envelope) -> bytes:
    """The body of one POST."""
    verdicts = {"verdicts": encode_verdicts(envelope.verdicts)} if envelope.verdicts else {}
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
            **verdicts,
        }
    )
    return body


def decode_envelope(body: bytes) -> Envelope:
    """The envelope in a request body. Raises WireError; never returns names, numbers or sizes out of bounds."""
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"body of {len(body)} bytes is larger than {MAX_BODY_BYTES}")
    given = fields(_unpack(body), "envelope", ("version", "node", "batches", "offers"), ("verdicts",))
    if given["version"] != VERSION or isinstance(given["version"], bool):
        raise WireError(f"version: this hub reads version {VERSION}, got {shown(given['version'])}")
    node = text(given["node"], "node", NODE_PATTERN)
    batches = items(given["batches"], "batches", MAX_BATCHES)
    offers = items(given["offers"], "offers", MAX_OFFERS)
    return Envelope(
        node,
        [_batch(item, f"batches[{number}]") for number, item in enumerate(batches)],
        [_range_of_map(item, f"offers[{number}]") for number, item in enumerate(offers)],
        decode_verdicts(given.get("verdicts", [])),
    )


def encode_answer(answer: Answer) -> bytes:
    """The hub's answer."""
    commands = {"commands": encode_commands(answer.commands)} if answer.commands else {}
    return orjson.dumps(
        {
            "accepted": answer.accepted,
            "duplicates": answer.duplicates,
            "refused": [{"key": key, "reason": reason} for key, reason in answer.refused],
            "lacks": answer.lacks,
            **commands,
        },
        default=tuple,
    )


def decode_answer(body: bytes) -> Answer:
    """The answer in a response body. Raises WireError."""
    if len(body) > MAX_BODY_BYTES:
        raise WireError(f"answer of {len(body)} bytes is larger than {MAX_BODY_BYTES}")
    try:
        given = fields(orjson.loads(body), "answer", ("accepted", "duplicates", "refused", "lacks"), ("commands",))
    except orjson.JSONDecodeError as fault:
        raise WireError(f"the answer is not JSON: {fault}") from fault
    refused = [
        fields(item, f"refused[{number}]", ("key", "reason"))
        for number, item in enumerate(items(given["refused"], "refused", MAX_BATCHES))
    ]
    return Answer(
        [_key(item, "accepted") for item in items(given["accepted"], "accepted", MAX_BATCHES)],
        whole_number(given["duplicates"], "duplicates", 0, MAX_BATCHES),
        [Refusal(_key(item["key"], "refused.key"), str(item["reason"])) for item in refused],
        [_range_of_list(item, "lacks") for item in items(given["lacks"], "lacks", MAX_BATCHES)],
        decode_commands(given.get("commands", [])),
    )


def _unpack(body: bytes) -> object:
    try:
        return msgpack.unpackb(body, max_array_len=MAX_BATCHES, max_map_len=MAX_MAP_FIELDS)
    except (ValueError, msgpack.UnpackException) as fault:
        raise WireError(f"the body is not msgpack: {str(fault) or type(fault).__name__}") from fault


def _batch(item: object, where: str) -> WireBatch:
    given = fields(item, where, ("stream", "lane", "seq", "rows", "blob"))
    blob = given["blob"]
    if not isinstance(blob, bytes) or len(blob) > MAX_BLOB_BYTES:
        raise WireError(f"{where}.blob: at most {MAX_BLOB_BYTES} bytes, got {shown(blob)}")
    key = BatchKey(
        text(given["stream"], f"{where}.stream", STREAM_PATTERN),
        _lane(given["lane"], f"{where}.lane"),
        whole_number(given["seq"], f"{where}.seq", 1, MAX_SEQ),
    )
    return WireBatch(key, whole_number(given["rows"], f"{where}.rows", 0, MAX_ROWS), blob)


def _range_of_map(item: object, where: str) -> SeqRange:
    given = fields(item, where, ("stream", "lane", "first", "last"))
    return _range(given["stream"], given["lane"], given["first"], given["last"], where)


def _range_of_list(item: object, where: str) -> SeqRange:
    if not is_list(item) or len(item) != len(SeqRange._fields):
        raise WireError(f"{where}: expected [stream, lane, first, last], got {shown(item)}")
    return _range(item[0], item[1], item[2], item[3], where)


def _range(stream: object, lane: object, first: object, last: object, where: str) -> SeqRange:
    low = whole_number(first, f"{where}.first", 1, MAX_SEQ)
    return SeqRange(
        text(stream, f"{where}.stream", STREAM_PATTERN),
        _lane(lane, f"{where}.lane"),
        low,
        whole_number(last, f"{where}.last", low, MAX_SEQ),
    )


def _key(item: object, where: str) -> BatchKey:
    if not is_list(item) or len(item) != len(BatchKey._fields):
        raise WireError(f"{where}: expected [stream, lane, seq], got {shown(item)}")
    return BatchKey(
        text(item[0], where, STREAM_PATTERN), _lane(item[1], where), whole_number(item[2], where, 1, MAX_SEQ)
    )


def _lane(item: object, where: str) -> Lane:
    if item == Lane.PROCESS.value:
        return Lane.PROCESS
    if item == Lane.EVENTS.value:
        return Lane.EVENTS
    raise WireError(f"{where}: expected process or events, got {shown(item)}")
