"""How one face is judged: what its journal says it offered against the rows that the hub holds of it.

A value is identified by signal and source time in ms; a Modbus value by the scan counter that came with it; a coil by
the read that it answered.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

RUNNING_GUARD_MILLISECONDS = 1000
"""While the line runs the last second before the last value held is not judged: it is on its way."""
STOPPED_GUARD_MILLISECONDS = 350
"""After a clean stop only about a publishing period: the stop may fall between two signals of one tick."""
ANSWER_MILLISECONDS = 100
"""A Modbus value bears the time when its answer came: a gap begins so much later than the device answered at most."""
UNDER_WAY_MILLISECONDS = 1000
"""As long as the daemon waits for an answer; meanwhile it may ask for the same coils again, for its control loop."""
START_MILLISECONDS = 2000
"""A signal is judged from its own first value on, or from so long after most signals of its face had theirs."""
NANOSECONDS_PER_MILLISECOND = 1_000_000


class Row(NamedTuple):
    """One sample as the hub holds it: source time and receive time in ms, the hub's commit in ns UTC."""

    time: int
    value: float | str | None
    committed: int
    good: bool
    restated: bool
    received: int


class GapSpan(NamedTuple):
    """A loss that the hub was told of, in ms UTC."""

    source: str
    start: int
    end: int
    reason: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.end - self.start) / 1000.0


class Window(NamedTuple):
    """When (ms UTC) the daemon had data from every source, when it was told to stop, and when it was last started."""

    since: int
    until: int
    started: int


@dataclass
class FaceFindings:
    """The count of one protocol. `due` was offered inside the window, `judged` is what of it was judged."""

    signals: frozenset[str] = frozenset()
    offered: int = 0
    held: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    covered_by_gaps: int = 0
    invented: int = 0
    late: int = 0
    last_held: int = 0
    due: int = 0
    judged: int = 0
    received: int = 0
    """Rows that the daemon received since its last start."""

    @property
    def judged_share(self) -> float:
        """Of what was offered inside the window."""
        return self.judged / self.due if self.due else 0.0


class Judge:
    """Judges one face and keeps its findings in `part`, examples of what was wrong in `examples`."""

    def __init__(
        self,
        lines: Sequence[dict[str, Any]],
        rows: Mapping[str, list[Row]],
        gaps: Sequence[GapSpan],
        window: Window | None,
        examples: list[str],
    ) -> None:
        self._lines = lines
        self._rows = rows
        self._gaps = gaps
        self._window = window
        self._guard = RUNNING_GUARD_MILLISECONDS if window is None else STOPPED_GUARD_MILLISECONDS
        self._examples = examples
        signals = frozenset(signal for line in lines for signal in line.get("signals", ()))
        self.part = FaceFindings(signals)
        if window is not None:
            held = (row for signal in signals for row in rows.get(signal, ()))
            self.part.received = sum(row.received >= window.started for row in held)

    def stamped(self) -> None:
        """OPC UA and MQTT: every value has its own source time."""
        part = self.part
        offered, unchanged = _read_offers(self._lines)
        matched = {s: [row for row in self._rows.get(s, ()) if _answers(row, offered[s])] for s in offered}
        part.due += sum(self._in_window(time) for times in offered.values() for time in times)
        firsts = [held[0].time for held in matched.values() if held]
        if not firsts:
            part.offered = part.lost = sum(len(times) for times in offered.values())
            return
        latest_start = statistics.median_low(firsts) + START_MILLISECONDS
        part.last_held = max(held[-1].time for held in matched.values() if held)
        end = part.last_held - self._guard
        for signal, times in offered.items():
            self._count_rows(signal, times, unchanged[signal])
            held_times = {row.time for row in matched[signal]}
            start = min(matched[signal][0].time, latest_start) if matched[signal] else latest_start
            for time in times:
                if start <= time <= end:
                    self._count_offer(signal, time, held=time in held_times)

    def units(self, held: Counter[str]) -> None:
        """Each inspected unit exactly once, or inside a gap; the newest are not judged."""
        part = self.part
        end = part.last_held - self._guard
        part.duplicated += sum(count - 1 for count in held.values())
        first = min((line["t"] for line in self._lines if line.get("unit") in held), default=None)
        for line in self._lines:
            if "unit" in line and first is not None and first <= line["t"] <= end:
                part.due += self._in_window(line["t"])
                part.held += line["unit"] in held
                self._count_offer(f"unit {line['unit']}", line["t"], held=line["unit"] in held)

    def reads(self) -> None:
        """Modbus: every answered read must be held, blocks with a scan counter and coils."""
        part = self.part
        blocks: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        for line in self._lines:
            if line.get("signals") and "at" in line and "write" not in line:
                blocks[(line["block"], line["start"])].append(line)
        part.last_held = max((self._rows[s][-1].time for s in part.signals if self._rows.get(s)), default=0)
        for reads in blocks.values():
            part.due += sum(len(read["signals"]) for read in reads if self._in_window(_milliseconds(read)))
            if any(read["counter"] is not None for read in reads):
                self._judge_counted(reads)
            else:
                self._judge_uncounted(reads)

    def _judge_counted(self, reads: Sequence[dict[str, Any]]) -> None:
        part, rows = self.part, self._rows
        counter_signal = next(s for s in reads[-1]["signals"] if s.endswith("scan_counter"))
        counted = [row for row in rows.get(counter_signal, ()) if row.value is not None]
        times_of: dict[int, list[int]] = defaultdict(list)
        for row in counted:
            times_of[_whole(row)].append(row.time)
        values = {s: _values_by_time(rows.get(s, ())) for s in reads[-1]["signals"]}
        known = {read["counter"] for read in reads}
        part.invented += sum(len(times) for counter, times in times_of.items() if counter not in known)
        part.out_of_order += _inversions([_whole(row) for row in counted])
        first, end = min(times_of, default=0), part.last_held - self._guard
        for read in reads:
            at, times = _milliseconds(read), times_of.get(read["counter"], [])
            part.duplicated += max(0, len(times) - 1) * len(read["signals"])
            part.held += len(read["signals"]) * bool(times)
            if read["counter"] < first or at > end:
                continue
            for signal, value in read["signals"].items():
                right = bool(times) and times[0] in values[signal] and _same(values[signal][times[0]], value)
                self._count_offer(signal, at, held=right)

    def _judge_uncounted(self, reads: Sequence[dict[str, Any]]) -> None:
        for signal in reads[-1]["signals"]:
            answered = [_milliseconds(read) for read in reads if signal in read["signals"]]
            held = [row.time for row in self._rows.get(signal, ()) if row.value is not None]
            if not held:
                self.part.offered += len(answered)
                self.part.lost += len(answered)
                continue
            self.part.held += len(held)
            self.part.invented += sum(time < answered[0] for time in held)
            counts = _rows_of_reads(answered, held)
            self.part.duplicated += sum(count - 1 for count in counts if count)
            first = next((number for number, count in enumerate(counts) if count), 0)
            end = self.part.last_held - self._guard
            for at, count in list(zip(answered, counts, strict=True))[first:]:
                if at <= end:
                    self._count_offer(signal, at, held=count > 0)

    def _count_rows(self, signal: str, offered: Mapping[int, Any], unchanged: set[int]) -> None:
        part, held = self.part, self._rows.get(signal, ())
        known = [row for row in held if _answers(row, offered) or (row.time in unchanged and row.value is not None)]
        part.held += len(known)
        part.out_of_order += _inversions([row.time for row in known])
        part.duplicated += len(known) - len({row.time for row in known})
        times = sorted(offered)
        for row in held:
            if row.restated and _restates(row, offered, times):
                continue
            right = row.time in unchanged or (row.time in offered and _same(row.value, offered[row.time]))
            if row.good and not right:
                part.invented += 1
                self._examples.append(f"{signal} at {row.time}: the hub holds {row.value}, which was never offered")

    def _count_offer(self, what: str, time: int, *, held: bool) -> None:
        self.part.offered += 1
        self.part.judged += self._in_window(time)
        if held:
            return
        if any(gap.start <= time <= gap.end for gap in self._gaps):
            self.part.covered_by_gaps += 1
            return
        self.part.lost += 1
        self._examples.append(f"{what} at {time} is not held")

    def _in_window(self, time: int) -> bool:
        return self._window is not None and self._window.since <= time <= self._window.until


def _read_offers(lines: Sequence[dict[str, Any]]) -> tuple[dict[str, dict[int, Any]], dict[str, set[int]]]:
    """What must arrive, by signal and time; and when a client that asks just then may get the old value."""
    given_up = {(line["topic"], line["dropped"]) for line in lines if "dropped" in line}
    offered: dict[str, dict[int, Any]] = defaultdict(dict)
    unchanged: dict[str, set[int]] = defaultdict(set)
    for line in lines:
        if "signals" in line and (line.get("topic"), line["t"]) not in given_up:
            for signal, value in line["signals"].items():
                offered[signal][line["t"]] = value
            for signal in line.get("unchanged", ()):
                unchanged[signal].add(line["t"])
    return offered, unchanged


def _values_by_time(held: Sequence[Row]) -> dict[int, float | str | None]:
    """The values; a row without one that bears the time of a value does not hide it."""
    found: dict[int, float | str | None] = {}
    for row in held:
        if row.value is not None or row.time not in found:
            found[row.time] = row.value
    return found


def _answers(row: Row, offered: Mapping[int, Any]) -> bool:
    """Whether the row stands for an offer; without a value (a poll that failed, a lost source) it may bear its time."""
    return row.time in offered and (row.value is not None or offered[row.time] is None)


def _restates(row: Row, offered: Mapping[int, Any], times: Sequence[int]) -> bool:
    """Whether the daemon said again, after a loss, what the source last said: honest, and no value of its own."""
    earlier = bisect_right(times, row.time)
    return earlier > 0 and _same(row.value, offered[times[earlier - 1]])


def _rows_of_reads(answered: Sequence[int], held: Sequence[int]) -> list[int]:
    """How many rows came of each read: a row belongs to the last read before it, or where several were under way at
    once, to the one before."""
    latest = Counter(bisect_right(answered, time) - 1 for time in held)
    counts = [latest[number] for number in range(len(answered))]
    for number in range(len(counts) - 1, 0, -1):
        under_way = answered[number] - answered[number - 1] <= UNDER_WAY_MILLISECONDS
        if counts[number] > 1 and not counts[number - 1] and under_way:
            counts[number - 1], counts[number] = counts[number] - 1, 1
    return counts


def _milliseconds(read: Mapping[str, Any]) -> int:
    at: int = read["at"]
    return at // NANOSECONDS_PER_MILLISECOND


def _whole(row: Row) -> int:
    assert row.value is not None
    return int(row.value)


def _inversions(values: Sequence[int]) -> int:
    return sum(later < earlier for earlier, later in pairwise(values))


def _same(held: Any, offered: Any) -> bool:
    if isinstance(offered, bool) or isinstance(held, str) or isinstance(offered, str) or held is None:
        return bool(held == offered) if not isinstance(offered, bool) else held is not None and bool(held) == offered
    return abs(float(held) - float(offered)) <= 1e-9 * max(1.0, abs(float(offered)))
