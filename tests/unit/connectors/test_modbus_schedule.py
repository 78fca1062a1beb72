"""Due times: a grid that does not drift, missed points counted and not made up for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.south.modbus_schedule import Due


def test_on_time_there_is_no_drift() -> None:
    due = Due(0.25, 0.25)
    for step in range(1, 1000):
        assert due.next == step * 0.25
        assert due.advance(step * 0.25 + 0.001) == 0
    assert due.overruns == 0


def test_missed_points_are_counted_once_and_skipped() -> None:
    due = Due(1.0, 1.0)
    assert due.advance(3.5) == 2
    assert (due.next, due.overruns) == (4.0, 2)
    assert due.advance(4.0) == 0
    assert due.next == 5.0


@given(st.lists(st.floats(0.0, 10.0), max_size=50))
def test_the_next_point_is_always_ahead_and_on_the_grid(delays: list[float]) -> None:
    due = Due(0.5, 0.5)
    now = 0.0
    for reads, delay in enumerate(delays, start=1):
        now = max(now, due.next) + delay
        due.advance(now)
        assert now < due.next <= now + due.period
        assert due.next * 2 == int(due.next * 2)
        assert due.next == (reads + due.overruns + 1) * 0.5
