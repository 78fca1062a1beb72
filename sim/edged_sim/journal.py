"""The journals of the faces: what was offered to clients and what clients wrote. The checker's truth.

One file per face, `opcua.jsonl`, `modbus.jsonl`, `mqtt.jsonl`: JSON lines, only ever appended, each line handed to the
operating system in one write before the value it tells of can be seen by any client. Signals are whole paths
(`line_a/furnace/temperature`). `at` and `start` are wall-clock nanoseconds UTC, `t` source times in milliseconds UTC.

Every face
  {"start": ns, "pid": n, "face": "opcua"}
    The process came up (again); what stands above was offered by an earlier one.
  {"write": path, "value": v, "at": ns}
    A client wrote, and the face accepted it.

opcua.jsonl, per tick and after each accepted write
  {"t": ms, "signals": {path: value}, "bad": [path], "unchanged": [path]}
    `signals`: these changed (or their status did): with a data change filter on status and value, each must reach a
    subscriber that was connected. A value is null where the status is bad, and the path stands in `bad` too.
    `unchanged`: stamped anew with the value they had; no subscriber is told, but a client that reads or subscribes just
    then gets them with this `t`. Times are unique and rising per signal.

modbus.jsonl, per answered read
  {"at": ns, "block": "input"|"holding"|"coil", "start": register, "count": n, "counter": n|null, "signals": {...},
   "bad": [path]}
    `counter` is the scan counter that this answer carried, null when the read did not cover it (coils have none). It
    counts the answered reads of its block and goes on where an earlier process stopped, so (block, counter) is unique
    in the file. Values are as rounded on the wire: float32 widened to double, raw * scale; null for a NaN, and the
    path stands in `bad` too. A read that covers half of a value does not list it. Reads that do not cover the counter
    do not advance it. Reads answered with an exception are not listed.

mqtt.jsonl
  {"t": ms, "topic": ..., "signals": {path: value}, "bad": [path]}
    A document of one equipment, before it is sent.
  {"t": ms, "topic": ..., "unit": id, "passed": bool, "defect_type": ...}
    One inspected unit, before it is sent.
  {"acked": ms, "topic": ...}
    The broker acknowledged the message with this `t` and topic. (topic, t) is unique. A message may be sent again after
    a broken connection; then its bytes are the same.
  {"dropped": ms, "topic": ...}
    Given up because the bounded queue was full; it was never acknowledged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from edged.clock import Clock
from edged.types import Value

FILE_MODE = 0o644
TAIL_BYTES = 1_000_000
"""Searched for the last scan counters when a face comes up again."""


class Journal:
    """One append-only file. Methods return after the line is with the operating system."""

    def __init__(self, path: Path, face: str, clock: Clock) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._clock = clock
        self._append({"start": clock.now(), "pid": os.getpid(), "face": face})

    def changed(self, milliseconds: int, values: Mapping[str, Value | None], unchanged: Sequence[str]) -> None:
        """OPC UA: what changed, and what was only stamped anew."""
        bad = [signal for signal, value in values.items() if value is None]
        self._append({"t": milliseconds, "signals": values, "bad": bad, "unchanged": unchanged})

    def answered(
        self, block: str, start: int, count: int, counter: int | None, values: Mapping[str, Value | None]
    ) -> None:
        """Modbus: one answered read."""
        bad = [signal for signal, value in values.items() if value is None]
        line = {"at": self._clock.now(), "block": block, "start": start, "count": count, "counter": counter}
        self._append({**line, "signals": values, "bad": bad})

    def document(self, milliseconds: int, topic: str, values: Mapping[str, Value | None]) -> None:
        """MQTT: one document of one equipment."""
        bad = [signal for signal, value in values.items() if value is None]
        self._append({"t": milliseconds, "topic": topic, "signals": values, "bad": bad})

    def unit(self, milliseconds: int, topic: str, unit: str, *, passed: bool, defect_type: str) -> None:
        """MQTT: one inspected unit."""
        self._append({"t": milliseconds, "topic": topic, "unit": unit, "passed": passed, "defect_type": defect_type})

    def acknowledged(self, milliseconds: int, topic: str) -> None:
        """MQTT: the broker has the message."""
        self._append({"acked": milliseconds, "topic": topic})

    def dropped(self, milliseconds: int, topic: str) -> None:
        """MQTT: the message was given up."""
        self._append({"dropped": milliseconds, "topic": topic})

    def written(self, signal: str, value: Value) -> None:
        """A client's accepted write."""
        self._append({"write": signal, "value": value, "at": self._clock.now()})

    def last_counter(self, block: str) -> int:
        """Modbus: the last scan counter that any process journalled for the block, 0 when none is near the end."""
        size = os.fstat(self._file).st_size
        with self._path.open("rb") as file:
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().splitlines()
        for line in reversed(lines[:-1]):
            entry = _entry(line)
            if entry.get("block") == block and isinstance(entry.get("counter"), int):
                return int(entry["counter"])
        return 0

    def close(self) -> None:
        """Nothing is written after this."""
        os.close(self._file)

    def _append(self, line: object) -> None:
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        while data:
            data = data[os.write(self._file, data) :]


def _entry(line: bytes) -> dict[str, Any]:
    """One journal line; empty for one that a killed process left half written."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}
