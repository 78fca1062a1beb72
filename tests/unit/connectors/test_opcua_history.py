"""What is read of a server's history, call by call, and what it turns out to lack, with a scripted server (CARD2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadHistoryOperationUnsupported, BadSessionClosed
from hypothesis import given
from hypothesis import strategies as st

from edged.clock import VirtualClock
from edged.errors import SourceLost
from edged.ports import Span
from edged.types import NANOSECONDS_PER_SECOND, Sample, Signal
from edged_connectors.south.opcua_history import HISTORY_BIT, NODES_PER_CALL, START_TIME, VALUES_PER_CALL, ServerHistory
from edged_connectors.south.opcua_items import Item
from edged_connectors.south.opcua_options import NodeReference, OpcUaOptions
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_values import moment, nanoseconds, to_float

SECOND = NANOSECONDS_PER_SECOND
BEGIN = 1_700_000_000 * SECOND
AFTER, UNTIL = BEGIN + 10 * SECOND, BEGIN + 20 * SECOND


class Server(Session):
    """A session whose server keeps values of whole seconds; it pages by continuation points, or not at all."""

    def __init__(self, kept: dict[str, list[int]]) -> None:
        super().__init__(OpcUaOptions(endpoint="opc.tcp://127.0.0.1:1/"), lambda _: None)
        self.kept = kept
        self.without: set[str] = set()
        self.started = BEGIN - SECOND
        self.page = 10_000
        self.points = True
        self.most_points = 10_000
        self.fault: Exception | None = None
        self.statuses: dict[str, int] = {}
        self.calls: list[int] = []

    def resolve(self, reference: NodeReference) -> ua.NodeId | None:
        return ua.NodeId(reference.identifier, 2)

    async def read(self, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds = ua.AttributeIds.Value) -> list[Any]:
        if list(nodes) == [START_TIME]:
            return [ua.DataValue(ua.Variant(moment(self.started)))]
        has = [node.Identifier not in self.without for node in nodes]
        return [ua.DataValue(ua.Variant(HISTORY_BIT if h else 1, ua.VariantType.Byte)) for h in has]

    async def read_history(self, details: Any, nodes: Sequence[ua.HistoryReadValueId]) -> list[Any]:
        if self.fault is not None:
            raise self.fault
        self.calls.append(len(nodes))
        points = 0
        results = []
        for wanted in nodes:
            name = str(wanted.NodeId.Identifier)
            result = self._result(name, details, wanted.ContinuationPoint)
            points += result.ContinuationPoint is not None
            if points > self.most_points:
                result = ua.HistoryReadResult(ua.StatusCode(ua.StatusCodes.BadNoContinuationPoints))
            results.append(result)
        return results

    def _result(self, name: str, details: Any, point: bytes | None) -> ua.HistoryReadResult:
        if name in self.statuses:
            return ua.HistoryReadResult(ua.StatusCode(self.statuses[name]))
        start, end = nanoseconds(details.StartTime), nanoseconds(details.EndTime)
        found = [time for time in self.kept[name] if min(start, end) <= time <= max(start, end)]
        found = found[::-1] if start > end else found
        first = int(point) if point else 0
        most = min(self.page, details.NumValuesPerNode)
        times = found[first : first + most]
        more = self.points and details.NumValuesPerNode > 1 and first + most < len(found)
        values = [ua.DataValue(ua.Variant(time / SECOND), SourceTimestamp=moment(time)) for time in times]
        following = str(first + most).encode() if more else None
        return ua.HistoryReadResult(HistoryData=ua.HistoryData(values), ContinuationPoint=following)


class Reading:
    """What a history was read into."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.clock = VirtualClock()
        self.samples: list[Sample] = []
        self.holes: list[Span] = []

    async def read(self, *spans: Span) -> Reading:
        names = {span.signal for span in spans}
        items = {n: Item(Signal(n, "1"), NodeReference(n, None, 2), 100.0, 10, to_float) for n in names}
        task = asyncio.get_running_loop().create_task(self._take(ServerHistory(self._server, items, self.clock), spans))
        while not task.done():
            await self.clock.advance(1.0)
        task.result()
        return self

    def times(self, signal: str = "line_a/plc/a") -> list[int]:
        return [s.source_time for s in self.samples if s.signal == signal and AFTER < s.source_time < UNTIL]

    async def _take(self, history: ServerHistory, spans: Sequence[Span]) -> None:
        async for part in history.recall(spans):
            self.samples += part.samples
            self.holes += [hole for hole in part.holes if hole.until > hole.after]


def seconds(first: int, last: int) -> list[int]:
    return [BEGIN + number * SECOND for number in range(first, last + 1)]


A = "line_a/plc/a"
SPAN = Span(A, AFTER, UNTIL)


async def read(server: Server, *spans: Span) -> Reading:
    return await Reading(server).read(*(spans or (SPAN,)))


async def test_everything_between_the_ends_is_read_and_nothing_is_missing() -> None:
    found = await read(Server({A: seconds(0, 30)}))
    assert found.times() == seconds(11, 19)
    assert not found.holes


@pytest.mark.parametrize("page", range(1, 12))
async def test_pages_of_any_size_bring_every_value_once(page: int) -> None:
    server = Server({A: seconds(0, 30)})
    server.page = page
    found = await read(server)
    assert found.times() == seconds(11, 19)
    assert not found.holes


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sets(st.integers(0, 40)), min_size=1),
    st.integers(1, 15),
    st.integers(1, 3),
    st.integers(-1, 30),
)
async def test_whatever_is_kept_is_read_once_and_the_rest_is_a_hole(
    kept: dict[str, set[int]], page: int, most_points: int, started: int
) -> None:
    server = Server({name: [BEGIN + number * SECOND for number in sorted(numbers)] for name, numbers in kept.items()})
    server.page, server.most_points, server.started = page, most_points, BEGIN + started * SECOND
    found = await read(server, *(Span(name, AFTER, UNTIL) for name in kept))
    for name, times in server.kept.items():
        inside = [time for time in times if AFTER < time < UNTIL]
        assert sorted(set(found.times(name))) == inside
        holes = [(hole.after, hole.until) for hole in found.holes if hole.signal == name]
        assert all(AFTER <= after < until <= UNTIL for after, until in holes)
        assert not any(after < time < until for time in inside for after, until in holes)
        if not times or times[0] > AFTER:
            assert (AFTER, min([*inside, UNTIL])) in holes
        if AFTER < server.started < UNTIL:
            assert any(after < server.started <= until for after, until in holes)


async def test_a_server_that_cuts_at_the_number_asked_for_without_a_point_is_asked_on() -> None:
    step = SECOND // 1000
    server = Server({A: [AFTER + number * step for number in range(5000)]})
    server.points = False
    found = await read(server)
    assert len(found.times()) == len(set(found.times())) == 4999
    assert not found.holes
    assert len(server.calls) > 5000 // VALUES_PER_CALL


async def test_calls_are_small_however_many_signals_there_are() -> None:
    names = [f"line_a/plc/s{number}" for number in range(120)]
    server = Server({name: seconds(0, 30) for name in names})
    found = await read(server, *(Span(name, AFTER, UNTIL) for name in names))
    assert max(server.calls) <= NODES_PER_CALL
    assert all(found.times(name) == seconds(11, 19) for name in names)


async def test_a_server_with_few_continuation_points_is_asked_for_fewer_nodes() -> None:
    names = [f"line_a/plc/s{number}" for number in range(8)]
    server = Server({name: seconds(0, 30) for name in names})
    server.page, server.most_points = 4, 2
    found = await read(server, *(Span(name, AFTER, UNTIL) for name in names))
    assert all(sorted(set(found.times(name))) == seconds(11, 19) for name in names)
    assert not found.holes


async def test_a_node_without_history_is_a_hole_and_the_others_are_read() -> None:
    server = Server({A: seconds(0, 30), "line_a/plc/b": []})
    server.without = {"line_a/plc/b"}
    found = await read(server, SPAN, Span("line_a/plc/b", AFTER, UNTIL))
    assert found.times() == seconds(11, 19)
    assert found.holes == [Span("line_a/plc/b", AFTER, UNTIL)]


async def test_where_no_node_has_a_history_the_answer_comes_at_once() -> None:
    server = Server({A: []})
    server.without = {A}
    started = VirtualClock().monotonic()
    reading = Reading(server)
    found = await reading.read(SPAN)
    assert found.holes == [SPAN]
    assert reading.clock.monotonic() - started <= 1.0
    assert not server.calls


async def test_a_history_that_begins_later_lacks_the_beginning() -> None:
    found = await read(Server({A: seconds(15, 30)}))
    assert found.times() == seconds(15, 19)
    assert found.holes == [Span(A, AFTER, BEGIN + 15 * SECOND)]


async def test_an_older_value_proves_that_the_history_reaches_back() -> None:
    found = await read(Server({A: [BEGIN - 3600 * SECOND, *seconds(15, 30)]}))
    assert found.times() == seconds(15, 19)
    assert not found.holes


async def test_an_empty_history_lacks_everything() -> None:
    assert (await read(Server({A: []}))).holes == [SPAN]


async def test_the_time_while_the_server_was_down_is_lacking() -> None:
    server = Server({A: [*seconds(0, 12), *seconds(17, 30)]})
    server.started = BEGIN + 16 * SECOND
    found = await read(server)
    assert found.times() == [*seconds(11, 12), *seconds(17, 19)]
    assert found.holes == [Span(A, BEGIN + 12 * SECOND, BEGIN + 16 * SECOND)]


async def test_a_refused_node_is_a_hole_and_no_data_is_none() -> None:
    server = Server({A: seconds(0, 30), "line_a/plc/b": []})
    server.statuses = {"line_a/plc/b": ua.StatusCodes.BadHistoryOperationUnsupported}
    found = await read(server, SPAN, Span("line_a/plc/b", AFTER, UNTIL))
    assert {hole.signal for hole in found.holes} == {"line_a/plc/b"}
    assert found.times() == seconds(11, 19)


async def test_a_service_that_is_refused_is_a_hole_for_each() -> None:
    server = Server({A: seconds(0, 30)})
    server.fault = BadHistoryOperationUnsupported()
    found = await read(server)
    assert SPAN in found.holes


@pytest.mark.parametrize("fault", [BadSessionClosed(), ConnectionError("gone"), TimeoutError()])
async def test_a_connection_that_ends_is_told_as_such(fault: Exception) -> None:
    server = Server({A: seconds(0, 30)})
    server.fault = fault
    with pytest.raises(SourceLost):
        await read(server)
