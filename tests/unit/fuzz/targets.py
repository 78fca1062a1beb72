"""Every decoder as a function of raw bytes, with sound inputs to begin from: for search by coverage, and for replay."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

from edged_connectors.north.check_capture import Captured
from edged_connectors.south.modbus_frame import judge
from edged_connectors.south.mqtt_messages import Message
from tests.unit.connectors.sparkplug_mutants import REBIRTH_REQUEST
from tests.unit.fuzz import test_fuzz_files as files
from tests.unit.fuzz import test_fuzz_mqtt as mqtt
from tests.unit.fuzz import test_fuzz_sparkplug as sparkplug
from tests.unit.fuzz import test_fuzz_sparkplug_ingest as ingest

Check: TypeAlias = Callable[[bytes], object]

MQTT_TOPICS = tuple(sorted(mqtt.BOUND))
SPARKPLUG_TOPICS = (*sparkplug.TOPICS, *ingest.BEYOND)
LENGTH_BYTES = 2
HEAD_BYTES = 2 + LENGTH_BYTES
RETAINED = 1
MOST_MESSAGES = 40
ASKED = ReadHoldingRegistersRequest(address=0, count=2, dev_id=1)


class Target(NamedTuple):
    """What is done with the bytes, and inputs that lead deep into it."""

    check: Check
    seeds: Sequence[bytes]


def messages(data: bytes, topics: Sequence[str]) -> Iterator[Message]:
    """A session in one input: topic, flags and length before each payload."""
    at = 0
    for number in range(MOST_MESSAGES):
        if at + HEAD_BYTES > len(data):
            return
        topic, flags = topics[data[at] % len(topics)], data[at + 1]
        length = int.from_bytes(data[at + LENGTH_BYTES : at + HEAD_BYTES], "big")
        at += HEAD_BYTES
        payload = data[at : at + length]
        at += length
        yield Message(topic, payload, mqtt.NOW + number, flags & 1, number, bool(flags & 2), bool(flags & 4))


def session(spoken: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The input that `messages` takes apart again."""
    return b"".join(
        bytes([topic, flags]) + len(payload).to_bytes(2, "big") + payload for topic, flags, payload in spoken
    )


def hear_mqtt(data: bytes) -> None:
    mqtt.decode_anything(list(messages(data[1:], MQTT_TOPICS)), bool(data[:1] > b"\x7f"))


def hear_sparkplug(data: bytes) -> None:
    ingest.hear_anything([*ingest.clean[: data[0] if data else 0], *messages(data[1:], SPARKPLUG_TOPICS)])


def judge_sparkplug(data: bytes) -> None:
    heard = [
        Captured(one.received, one.topic, one.payload, one.qos, one.retain)
        for one in messages(data[1:], SPARKPLUG_TOPICS)
    ]
    sparkplug.judge_anything([*sparkplug.CLEAN[: data[0] if data else 0], *heard], bool(data[:1] > b"\x7f"))


def obey_sparkplug(data: bytes) -> None:
    for message in messages(data, sparkplug.COMMAND_TOPICS):
        sparkplug.command_anything(message.topic, message.payload, message.retain)


def in_folder(check: Callable[[Path, bytes], object]) -> Check:
    """A check of a file, in a folder of its own."""

    def checked(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder), data)

    return checked


MQTT_SEEDS = [
    b"\xff" + session([(MQTT_TOPICS.index(topic), 1, document)])
    for topic in ("lehr/1", "plain/x", "unit")
    for document in mqtt.DOCUMENTS
]
REBIRTH = REBIRTH_REQUEST.SerializeToString()
SPOKEN = [(SPARKPLUG_TOPICS.index(message.topic), 0, message.payload) for message in ingest.clean]

TARGETS = {
    "sparkplug": Target(sparkplug.parse_anything, [message.payload for message in ingest.clean]),
    "sparkplug_rules": Target(judge_sparkplug, [b"\0" + session(SPOKEN), b"\xff"]),
    "sparkplug_commands": Target(obey_sparkplug, [session([(0, 0, REBIRTH), (1, 0, REBIRTH)])]),
    "sparkplug_ingest": Target(hear_sparkplug, [b"\0" + session(SPOKEN), b"\xff", b"\x04" + session(SPOKEN[4:])]),
    "mqtt": Target(hear_mqtt, MQTT_SEEDS),
    "modbus_frame": Target(lambda data: judge(data, ASKED), [b"\x01\x03\x04\0\1\0\2\x2a\x32", b"\x01\x83\x02\xc0\xf1"]),
    "envelope": Target(files.decode_an_envelope, files.ENVELOPES),
    "answer": Target(files.decode_an_answer, files.ANSWERS),
    "record": Target(files.decode_a_blob, files.BLOBS),
    "line": Target(in_folder(files.load_a_line), [files.EXAMPLE.read_bytes()]),
    "ceiling": Target(in_folder(files.load_a_ceiling), [files.LIMITS]),
    "tags": Target(in_folder(files.read_tags), [files.TAGS]),
    "bounds": Target(in_folder(files.read_the_bounds), [files.BOUNDS]),
    "bundle": Target(in_folder(files.load_a_bundle), [files.MANIFEST]),
    "process_model": Target(in_folder(files.load_a_process_model), list(files.PROCESS_MODELS)),
}
