"""What the node publishes: one point per configured signal, found by path, by alias and by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edged.types import Signal
from edged_connectors.north.codec import DATA_TYPES, WRITERS, DataType, Writer
from edged_connectors.north.metric_bytes import alias_bytes

FIRST_ALIAS = 1


@dataclass(slots=True, eq=False)
class Point:
    """One metric of one device, and what the host was last told of it (`last_time` in ms UTC)."""

    signal: Signal
    alias: int
    device: str
    name: str
    datatype: DataType
    write: Writer
    double: bytes
    """The alias as bytes where the metric is a double, else nothing."""
    last_time: int = 0
    code: int = 0


@dataclass(slots=True)
class Catalog:
    """Points in the order of the configuration; aliases are unique within the node."""

    devices: dict[str, list[Point]] = field(default_factory=dict)
    by_path: dict[str, Point] = field(default_factory=dict)
    by_alias: dict[int, Point] = field(default_factory=dict)

    @classmethod
    def of(cls, signals: Sequence[Signal]) -> Catalog:
        """One point per signal. Raises ValueError when a path comes twice."""
        catalog = cls()
        for alias, signal in enumerate(signals, FIRST_ALIAS):
            if signal.path in catalog.by_path:
                raise ValueError(f"signal {signal.path} is configured twice")
            datatype = DATA_TYPES[signal.type]
            double = alias_bytes(alias) if datatype is DataType.DOUBLE else b""
            point = Point(signal, alias, signal.equipment, signal.name, datatype, WRITERS[datatype], double)
            catalog.devices.setdefault(point.device, []).append(point)
            catalog.by_path[signal.path] = point
            catalog.by_alias[alias] = point
        return catalog

    def named(self, device: str, name: str) -> Point | None:
        """The point of that name at a device."""
        return next((point for point in self.devices.get(device, ()) if point.name == name), None)
