"""The figures of a drill: what a gap may exceed, how long a source was blind, what the host lacks."""

from __future__ import annotations

import pytest

from bench.checker import Findings
from bench.disturbance import Disturbance, Span
from bench.drill_figures import (
    blind_seconds,
    draining_milliseconds,
    first_data_seconds,
    gap_excess_seconds,
    missing_on_sparkplug,
    steady_milliseconds,
    unheld,
    union_seconds,
)
from bench.judge import FaceFindings, GapSpan, Row, Window

SIGNAL = "line_a/furnace/temperature"
AWAY = Span(10_000, 20_000)


def gap(start: int, end: int) -> GapSpan:
    return GapSpan("furnace", start, end, "source_lost")


def row(time: int, *, after: int = 50, good: bool = True, received: int | None = None) -> Row:
    return Row(time, 1.0, (time + after) * 1_000_000, good, False, time if received is None else received)


def found(*rows: Row) -> Findings:
    return Findings(faces={"opcua": FaceFindings(frozenset({SIGNAL}))}, rows={SIGNAL: list(rows)})


@pytest.mark.parametrize(
    ("gaps", "excess"),
    [
        ([], 0.0),
        ([gap(10_000, 20_000)], 0.0),
        ([gap(9_000, 22_000)], 3.0),
        ([gap(9_000, 15_000), gap(14_000, 22_000)], 3.0),
        ([gap(9_000, 10_000), gap(20_000, 23_000), gap(30_000, 32_000)], 6.0),
        ([gap(30_000, 36_000)], 6.0),
    ],
    ids=["none", "exact", "longer", "overlapping", "several", "elsewhere"],
)
def test_all_gaps_of_a_source_count_together(gaps: list[GapSpan], excess: float) -> None:
    assert gap_excess_seconds(gaps, [AWAY]) == excess


def test_with_several_disturbances_no_gap_borrows_from_another() -> None:
    spans = [Span(10_000, 11_000), Span(20_000, 21_000)]
    assert gap_excess_seconds([gap(10_000, 18_000)], spans) == 7.0
    assert gap_excess_seconds([gap(10_000, 13_000), gap(20_000, 22_000)], spans) == 2.0
    assert gap_excess_seconds([gap(10_000, 15_500), gap(15_500, 22_000)], spans) == 5.0


def test_overlapping_gaps_are_one_length() -> None:
    assert union_seconds([gap(0, 2_000), gap(1_000, 3_000), gap(5_000, 6_000)]) == 4.0


def test_first_data_is_that_of_the_slowest_source_after_the_worst_return() -> None:
    done = Disturbance([AWAY, Span(30_000, 31_000)], away=("furnace",))
    assert first_data_seconds(found(row(9_000), row(20_500), row(33_000)), done) == 2.0
    assert first_data_seconds(found(row(9_000), row(20_500)), done) == float("inf")
    assert first_data_seconds(found(row(9_000)), Disturbance([AWAY])) is None


def test_blind_is_the_longest_time_without_an_arrival_inside_the_window() -> None:
    window = Window(1_000, 10_000, 0)
    assert blind_seconds(found(row(1_500), row(4_000), row(9_000)), "opcua", window) == 5.0
    assert blind_seconds(found(row(1_500), row(4_000)), "opcua", window) == 6.0


def test_the_two_latencies_are_taken_before_the_disturbance_and_while_its_backlog_drains() -> None:
    steady = [row(time) for time in range(1_000, 9_900, 100)]
    waited = [row(time, after=20_500 - time) for time in range(10_000, 20_000, 100)]
    waited += [row(time, after=25_000 - time) for time in range(10_050, 20_000, 100)]
    live = [row(time, after=80) for time in range(20_600, 25_000, 10)]
    all_rows = found(*steady, *waited, *live)
    assert steady_milliseconds(all_rows, 1_000, AWAY.began) == 50.0
    assert draining_milliseconds(all_rows, AWAY) == 80.0
    assert draining_milliseconds(found(*steady, *live), AWAY) is None


def test_what_was_received_and_is_not_held_is_counted() -> None:
    findings = Findings(faces={"opcua": FaceFindings(received=90), "modbus": FaceFindings(received=120)})
    assert unheld(findings, {"furnace": 100, "forming": 110}) == 10


def test_a_host_lacks_good_values_it_did_not_read_or_read_otherwise() -> None:
    held = {SIGNAL: {1_000: 1.0, 2_000: 7.0}}
    findings = found(row(1_000), row(2_000), row(3_000), row(4_000, good=False))
    assert missing_on_sparkplug(findings, held) == [
        f"{SIGNAL} at 2000 is not on Sparkplug",
        f"{SIGNAL} at 3000 is not on Sparkplug",
    ]
