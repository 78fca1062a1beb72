"""Readings as records (GLS6) at the rates of the plant's own recorders (GLS1-GLS4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

from edged.types import Value
from edged_sim.inspection import Unit
from edged_sim.tags import PRODUCTION_LINE, TAGS, Status, Tag

PERIOD_SECONDS = {"furnace": 60, "forming": 1, "annealing": 2}
INSPECTION_MACHINE = "MIK-1"


def readings_as_records(timestamp: str, second: int, readings: Mapping[str, Value | None]) -> Iterator[bytes]:
    """The lines due at a whole second."""
    for tag in TAGS:
        period = PERIOD_SECONDS.get(tag.equipment)
        if period is not None and second % period == 0 and tag.path in readings:
            value = readings[tag.path]
            yield _line(timestamp, _sensor(tag), tag.name, value, tag.unit, tag.status(value))


def unit_as_record(timestamp: str, unit: Unit) -> bytes:
    """The line of one inspected unit."""
    status = Status.OK if unit.passed else Status.WARNING
    return _line(timestamp, INSPECTION_MACHINE, "defect_type", unit.defect_type or "none", "1", status)


def _sensor(tag: Tag) -> str:
    return tag.path.upper().replace("/", "-")


def _line(timestamp: str, sensor: str, name: str, value: Value | None, unit: str, status: Status) -> bytes:
    return orjson.dumps(
        {
            "timestamp": timestamp,
            "sensor_id": sensor,
            "parameter_name": name,
            "value": value,
            "unit": unit,
            "status": status,
            "production_line": PRODUCTION_LINE,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
