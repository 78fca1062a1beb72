"""What is read together now: blocks with their stamps and refusals, in groups of one period."""

from __future__ import annotations

from dataclasses import dataclass, field

from edged.types import NANOSECONDS_PER_MILLISECOND, Quality, Sample
from edged_connectors.south.modbus_blocks import Block, plan
from edged_connectors.south.modbus_schedule import Due
from edged_connectors.south.modbus_types import BIT_TABLES, BitCodec, BlockCodec

CLOCK_STEP_MILLISECONDS = 1000
"""Stamps further ahead of the clock than this mean that the clock was set back: stamps follow it."""


class Part:
    """A block as it is read now, the last stamp it bore, and what was last said of it when it was refused."""

    def __init__(self, block: Block, stamp: int = 0) -> None:
        self.block = block
        self.codec = (BitCodec if block.table in BIT_TABLES else BlockCodec)(block.start, block.fields)
        self.paths = [field.signal.path for field in block.fields]
        self.stamp = stamp
        self.refused = ""
        self.told_at = 0.0

    def next_stamp(self, now: int) -> int:
        """Source time of an answer that arrived at `now`: whole milliseconds in ns, strictly increasing."""
        clock = now // NANOSECONDS_PER_MILLISECOND
        ahead = self.stamp + 1 - clock
        self.stamp = clock if ahead > CLOCK_STEP_MILLISECONDS else clock + max(ahead, 0)
        return self.stamp * NANOSECONDS_PER_MILLISECOND

    def samples(self, raw: bytes, now: int) -> list[Sample]:
        """One sample per signal, all with the same source time."""
        stamp = self.next_stamp(now)
        values = self.codec.decode(raw)
        samples = [Sample(path, value, stamp, now) for path, value in zip(self.paths, values, strict=True)]
        if None in values:
            for at, value in enumerate(values):
                if value is None:
                    fault = self.block.fields[at].fault
                    samples[at] = Sample(self.paths[at], None, stamp, now, Quality.BAD, fault)
        return samples

    def refusals(self, reason: str, now: int) -> list[Sample]:
        """One BAD sample per signal."""
        stamp = self.next_stamp(now)
        return [Sample(path, None, stamp, now, Quality.BAD, reason) for path in self.paths]


@dataclass(slots=True)
class Group:
    """Everything that is read with one period; `denied` are single fields, by the second they are due again."""

    due: Due
    parts: list[Part]
    max_registers: int
    denied: dict[Part, float] = field(default_factory=dict)

    def holds(self, part: Part) -> bool:
        """Whether it is still read."""
        return part in self.denied or any(part is other for other in self.parts)

    def replace(self, part: Part, smaller: list[Part]) -> None:
        """Several blocks take the place of one."""
        at = self.parts.index(part)
        self.parts[at : at + 1] = smaller

    def deny(self, part: Part, until: float) -> None:
        """Its one field is read on its own again at the monotonic second `until`."""
        if part not in self.denied:
            self.parts.remove(part)
        self.denied[part] = until

    def restore(self, part: Part) -> None:
        """The field is back: joined with its neighbours again."""
        del self.denied[part]
        stamp = max([part.stamp, *(other.stamp for other in self.parts)])
        fields = [*part.block.fields, *(one for other in self.parts for one in other.block.fields)]
        self.parts = [Part(block, stamp) for block in plan(fields, max_registers=self.max_registers)]
