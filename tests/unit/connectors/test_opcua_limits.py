"""How many operations go into one call, and what a refusal teaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from asyncua.ua.uaerrors import BadTooManyOperations
from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.south.opcua_limits import MOST_OPERATIONS, SAFE_OPERATIONS, OperationLimits, Service, limits_of
from edged_connectors.south.opcua_memory import LimitsFile


class Server:
    """Takes at most so many operations a call."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.calls: list[int] = []

    async def call(self, part: Sequence[int]) -> Sequence[int]:
        self.calls.append(len(part))
        if len(part) > self.most:
            raise BadTooManyOperations
        return [-number for number in part]


def test_a_silent_server_gets_safe_calls() -> None:
    assert OperationLimits().of(Service.READ) == SAFE_OPERATIONS


def test_what_the_server_says_is_kept_zero_means_unlimited() -> None:
    limits = OperationLimits()
    limits.announced({Service.READ: 100, Service.MONITOR: 0, Service.BROWSE: None})
    assert limits.of(Service.READ) == 100
    assert limits.of(Service.MONITOR) == MOST_OPERATIONS
    assert limits.of(Service.BROWSE) == limits.of(Service.WRITE) == SAFE_OPERATIONS


def test_the_configuration_goes_before_the_server() -> None:
    limits = OperationLimits()
    limits.announced({Service.READ: 1000})
    limits.override(10)
    assert limits.of(Service.READ) == 10


def test_neither_the_configuration_nor_the_server_goes_beyond_the_profile() -> None:
    limits = OperationLimits()
    limits.announced({Service.READ: 0})
    limits.override(None, 100)
    assert limits.of(Service.READ) == 100
    limits.override(500, 100)
    assert limits.of(Service.READ) == 100


async def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    first, again = OperationLimits(), OperationLimits()
    await first.split(Service.MONITOR, range(50), Server(7).call)
    await LimitsFile(tmp_path, "plc", "opc.tcp://one/").keep(first)
    await LimitsFile(tmp_path, "plc", "opc.tcp://one/").load(again)
    assert again.of(Service.MONITOR) == first.of(Service.MONITOR) <= 7
    other = OperationLimits()
    await LimitsFile(tmp_path, "plc", "opc.tcp://two/").load(other)
    await LimitsFile(tmp_path, "robot", "opc.tcp://one/").load(other)
    assert not other.learned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"endpoint": "e", "learned": {"read": 0}}',
        '{"endpoint": "e", "learned": {"fly": 1}}',
        '{"endpoint": "e", "learned": []}',
    ],
)
async def test_a_damaged_file_is_passed_over_and_written_anew(tmp_path: Path, text: str) -> None:
    file, limits = LimitsFile(tmp_path, "plc", "e"), OperationLimits()
    (tmp_path / "opcua-limits-plc.json").write_text(text)
    await file.load(limits)
    assert not limits.learned
    limits.remember({Service.READ: 5})
    await file.keep(limits)
    again = OperationLimits()
    await LimitsFile(tmp_path, "plc", "e").load(again)
    assert again.learned == {Service.READ: 5}


async def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    limits = OperationLimits()
    limits.remember({Service.READ: 5})
    await LimitsFile(tmp_path / "nowhere", "plc", "e").keep(limits)


@given(st.integers(1, 400), st.integers(0, 500), st.one_of(st.none(), st.integers(0, 2000)))
async def test_every_operation_is_done_once_and_in_order(most: int, number: int, said: int | None) -> None:
    limits, server = OperationLimits(), Server(most)
    limits.announced({Service.READ: said})
    operations = list(range(number))
    assert await limits.split(Service.READ, operations, server.call) == [-n for n in operations]


async def test_a_refusal_is_remembered_for_the_service() -> None:
    limits, server = OperationLimits(), Server(30)
    limits.announced({Service.MONITOR: 100})
    await limits.split(Service.MONITOR, range(100), server.call)
    server.calls.clear()
    limits.announced({Service.MONITOR: 100})
    await limits.split(Service.MONITOR, range(100), server.call)
    assert max(server.calls) <= 30
    assert limits.of(Service.READ) == SAFE_OPERATIONS


async def test_a_server_that_takes_nothing_is_told() -> None:
    with pytest.raises(BadTooManyOperations):
        await OperationLimits().split(Service.READ, [1], Server(0).call)


def test_limits_outlive_the_connection() -> None:
    assert limits_of("opc.tcp://one:4840/") is limits_of("opc.tcp://one:4840/")
    assert limits_of("opc.tcp://one:4840/") is not limits_of("opc.tcp://two:4840/")
