"""The block planner: every value in one block, no limit passed, no gap crossed unasked, as few requests as can be."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edged.types import Signal, ValueType
from edged_connectors.south.modbus_blocks import MAX_BITS, MAX_REGISTERS, Block, plan, split
from edged_connectors.south.modbus_types import BIT_TABLES, Field, ModbusAddress, Table, WordOrder

WIRE_TYPES = ("int16", "float32", "float64", "string", "bool")


@st.composite
def fields(draw: st.DrawFn, *, tables: tuple[Table, ...] = tuple(Table)) -> list[Field]:
    """Fields anywhere, dense enough to touch and overlap."""
    made = []
    for number in range(draw(st.integers(1, 40))):
        table = draw(st.sampled_from(tables))
        kind = "bool" if table in BIT_TABLES else draw(st.sampled_from(WIRE_TYPES))
        register = draw(st.integers(0, 4000 if table in BIT_TABLES else 400))
        address: dict[str, object] = {"table": table, "register": register, "type": kind}
        if kind == "string":
            address["length"] = draw(st.integers(1, 250))
        signal = Signal(f"line/unit/s{number}", "1", ValueType.FLOAT)
        made.append(Field(signal, ModbusAddress.model_validate(address), WordOrder.ABCD))
    return made


def addresses(field: Field) -> range:
    return range(field.start, field.end)


def covered(blocks: list[Block]) -> set[tuple[Table, int]]:
    return {(block.table, at) for block in blocks for at in range(block.start, block.start + block.count)}


@given(fields(), st.integers(0, 30))
def test_every_field_is_whole_in_exactly_one_block(given_fields: list[Field], gap: int) -> None:
    blocks = plan(given_fields, max_gap=gap)
    placed = [field for block in blocks for field in block.fields]
    assert sorted(field.signal.path for field in placed) == sorted(field.signal.path for field in given_fields)
    for block in blocks:
        for field in block.fields:
            assert field.address.table is block.table
            assert block.start <= field.start
            assert field.end <= block.start + block.count


@given(fields(), st.integers(0, 30))
def test_no_request_is_longer_than_the_protocol_allows(given_fields: list[Field], gap: int) -> None:
    for block in plan(given_fields, max_gap=gap):
        assert 1 <= block.count <= (MAX_BITS if block.table in BIT_TABLES else MAX_REGISTERS)
        assert block.start == min(field.start for field in block.fields)


@given(fields())
def test_only_mapped_addresses_are_read(given_fields: list[Field]) -> None:
    mapped = {(field.address.table, at) for field in given_fields for at in addresses(field)}
    assert covered(plan(given_fields)) == mapped


@given(fields(), st.integers(1, 20))
def test_no_gap_is_wider_than_allowed(given_fields: list[Field], gap: int) -> None:
    for block in plan(given_fields, max_gap=gap):
        mapped = sorted({at for field in block.fields for at in addresses(field)})
        assert all(right - left - 1 <= gap for left, right in pairwise(mapped))


@given(fields(tables=(Table.INPUT,)))
def test_neighbours_share_a_request(given_fields: list[Field]) -> None:
    blocks = plan(given_fields)
    for left, right in pairwise(blocks):
        first = right.fields[0]
        touches = first.start <= left.start + left.count
        fits = max(first.end, left.start + left.count) - left.start <= MAX_REGISTERS
        assert not (touches and fits)


@given(fields(), st.integers(0, 30))
def test_splitting_ends_at_single_fields_and_loses_none(given_fields: list[Field], gap: int) -> None:
    for block in plan(given_fields, max_gap=gap):
        pending, single = [block], []
        while pending:
            part = pending.pop()
            smaller = split(part)
            assert sum(len(one.fields) for one in smaller) in {0, len(part.fields)}
            assert all(len(one.fields) < len(part.fields) or len(smaller) > 1 for one in smaller)
            pending += smaller
            single += [] if smaller else [part]
        assert all(len(part.fields) == 1 for part in single)
        assert {part.fields[0].signal.path for part in single} == {field.signal.path for field in block.fields}
