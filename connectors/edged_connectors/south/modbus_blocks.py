"""Which values are read together: neighbours in one request, no value split, no unmapped range crossed unasked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edged_connectors.south.modbus_types import BIT_TABLES, Field, Table

MAX_REGISTERS = 125
MAX_BITS = 2000


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers (bits in a bit table) from `start`, and the fields in it by address."""

    table: Table
    start: int
    count: int
    fields: tuple[Field, ...]


def plan(fields: Iterable[Field], *, max_gap: int = 0, max_registers: int = MAX_REGISTERS) -> list[Block]:
    """The fewest blocks in address order, each table on its own, that join neighbours at most `max_gap` apart."""
    blocks: list[Block] = []
    run: list[Field] = []
    end = 0
    for field in sorted(fields, key=lambda field: (field.address.table, field.start, field.end)):
        if run and not _joins(run[0], end, field, max_gap, max_registers):
            blocks.append(_block(run))
            run = []
        end = max(end, field.end) if run else field.end
        run.append(field)
    if run:
        blocks.append(_block(run))
    return blocks


def split(block: Block) -> list[Block]:
    """Smaller blocks with the same fields, first along unmapped ranges, then in half; empty when one field is left."""
    if len(block.fields) == 1:
        return []
    parts = plan(block.fields)
    if len(parts) > 1:
        return parts
    half = len(block.fields) // 2
    return [_block(block.fields[:half]), _block(block.fields[half:])]


def _joins(first: Field, end: int, field: Field, max_gap: int, max_registers: int) -> bool:
    table = first.address.table
    limit = MAX_BITS if table in BIT_TABLES else max_registers
    return field.address.table is table and field.start <= end + max_gap and max(end, field.end) - first.start <= limit


def _block(fields: Sequence[Field]) -> Block:
    start = min(field.start for field in fields)
    end = max(field.end for field in fields)
    return Block(fields[0].address.table, start, end - start, tuple(fields))
