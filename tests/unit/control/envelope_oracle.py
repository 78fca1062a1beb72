"""Judges control by the PLC's own journal alone. It shares no code with control and imports nothing from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.unit.control.simulated_plc import (
    ApprovalEntry,
    BeatEntry,
    Entry,
    HandoverEntry,
    LimitsEntry,
    ReadEntry,
    WriteEntry,
)

ROUNDING = 1e-4
"""float32 registers near 200 are 1.5e-5 apart."""

NOTICEABLE = 0.0101
"""What the loop's readback tolerance hides from it, float32 included."""

FROZEN_MARGIN_SECONDS = 4.0
"""A loop looks once a second, and may not have believed one of the looks."""

BELIEVED = 4
"""One of the last values that any daemon read or sent is what the next one must find, or somebody moved the output."""


@dataclass(frozen=True)
class Envelope:
    """What must hold, in the words of the plant."""

    low: float = 50.0
    high: float = 200.0
    rate_per_second: float = 20.0 / 60.0
    credit_seconds: float = 2.0
    approval_threshold: float = 50.0
    readback_age_seconds: float = 1.0
    process_value_age_seconds: float = 3.0
    grades: tuple[str, ...] = ()
    frozen_seconds: float = math.inf
    frozen_move: float = 1.0


class Violation(AssertionError):
    """A command left the envelope."""


@dataclass
class _Daemon:
    """What one run of a daemon has seen and done, as far as the PLC can tell.

    `was` is what it expected before the last change: a register may lie between two cycles, when a person's wish is
    judged, and a value that is back has been moved by nobody.
    """

    expected: float | None = None
    was: float | None = None
    before: float | None = None
    changed_at: float = -math.inf
    must_yield: bool = False
    whole_read: ReadEntry | None = None
    stands: float | None = None
    place: float = 0.0
    left_at: float = math.inf


class EnvelopeOracle:
    """Follows a journal entry by entry."""

    def __init__(self, first_belt: float, envelope: Envelope) -> None:
        self._envelope = envelope
        self._rates = [(-math.inf, envelope.rate_per_second)]
        self._anchors = [first_belt]
        self._believed: list[float] = []
        self._approvals: list[ApprovalEntry] = []
        self._daemons: dict[str, _Daemon] = {}
        self._writes: list[WriteEntry] = []
        self._last_foreign = -math.inf
        self._last_misled = -math.inf
        self._yielded = ""
        self._last_handover = -math.inf
        self._walking = False
        self._taken_instead: float | None = None
        self._read = 0

    def check(self, journal: Sequence[Entry]) -> None:
        """Judges what is new in the journal. Raises Violation."""
        for entry in journal[self._read :]:
            match entry:
                case ReadEntry():
                    self._see_read(entry)
                case WriteEntry() if entry.by.startswith("daemon"):
                    self._judge(entry)
                case WriteEntry():
                    self._anchors.append(entry.after)
                    self._last_foreign = entry.time
                case BeatEntry():
                    self._judge_beat(entry)
                case ApprovalEntry():
                    self._approvals.append(entry)
                case LimitsEntry():
                    self._change_limits(entry)
                case HandoverEntry():
                    self._yielded, self._last_handover, self._walking = "", entry.time, entry.walking
                    if self._taken_instead is not None:  # the plant brought it there, and a person handed it over so
                        self._anchors.append(self._taken_instead)
                    for daemon in self._daemons.values():
                        daemon.must_yield = False
        self._read = len(journal)

    def _change_limits(self, limits: LimitsEntry) -> None:
        """What a living consent covers when the threshold comes down was approved."""
        for approval in self._approvals:
            covered = limits.time <= approval.until and self._believed
            anchors = (*self._anchors, approval.value - approval.span, approval.value + approval.span)
            if covered and min(anchors) <= self._believed[-1] <= max(anchors):
                self._anchors.append(self._believed[-1])
        self._rates.append((limits.time, limits.rate_per_second))
        self._envelope = replace(
            self._envelope,
            low=limits.low,
            high=limits.high,
            rate_per_second=limits.rate_per_second,
            approval_threshold=limits.approval_threshold,
        )

    def _allowed(self, start: float, end: float) -> float:
        """The longest way between two times: each rate for as long as it was in force."""
        way, until = 0.0, end
        for since, rate in reversed(self._rates):
            way += rate * (until - max(since, start))
            if since <= start:
                break
            until = since
        return way

    def _note_arrival(self, belt: float, time: float) -> None:
        """Within a step of what a consent approves, that is what is approved from now on."""
        step = self._envelope.rate_per_second * self._envelope.credit_seconds + NOTICEABLE
        for approval in self._approvals:
            if time <= approval.until and abs(belt - approval.value) <= step:
                self._anchors.append(approval.value)

    def _see_read(self, read: ReadEntry) -> None:
        daemon = self._daemons.setdefault(read.by, _Daemon())
        if daemon.must_yield:  # it lived on after it had seen the change
            self._yielded, daemon.must_yield = f"{read.by} saw a foreign change before {read.time}", False
        if not read.whole:
            return
        daemon.whole_read = read
        if read.belt is None:
            return
        self._watch(daemon, read.thickness, read.belt, read.time)
        self._note_arrival(read.belt, read.time)
        believed = self._believed[-BELIEVED:]
        self._believed.append(read.belt)
        if daemon.before is not None and abs(read.belt - daemon.before) <= NOTICEABLE:
            daemon.expected = daemon.before  # the register denies our last write
        daemon.before = None
        if daemon.expected is not None and abs(read.belt - daemon.expected) <= NOTICEABLE:
            return
        was_moved_unseen = bool(believed) and min(abs(read.belt - belt) for belt in believed) > NOTICEABLE
        is_back = daemon.was is not None and abs(read.belt - daemon.was) <= NOTICEABLE
        daemon.must_yield = (daemon.expected is not None or was_moved_unseen) and read.permitted and not is_back
        daemon.was, daemon.expected, daemon.changed_at = daemon.expected, read.belt, read.time
        self._anchors.append(read.belt)  # a register that lies is believed

    def _watch(self, daemon: _Daemon, thickness: float | None, belt: float, time: float) -> None:
        """Since when the belt has been away from where it was when the thickness last changed."""
        if thickness is None:
            return
        if thickness != daemon.stands:
            daemon.stands, daemon.place, daemon.left_at = thickness, belt, math.inf
        elif math.isinf(daemon.left_at) and abs(belt - daemon.place) > self._envelope.frozen_move:
            daemon.left_at = time

    def _judge(self, write: WriteEntry) -> None:
        self._judge_value(write)
        self._judge_line(write)
        self._judge_freshness(write)
        self._judge_step(write)
        self._judge_pairs(write)
        if self._yielded:
            raise Violation(f"{self._yielded}, and nobody handed the output over before {write}")
        others = [index for index, earlier in enumerate(self._writes) if earlier.by != write.by]
        ours = [index for index, earlier in enumerate(self._writes) if earlier.by == write.by]
        if others and ours and ours[0] < others[-1]:
            raise Violation(f"two writers at once: {write}")
        self._believed.append(write.value)
        daemon = self._daemons[write.by]
        if write.applied and write.read is not None:
            daemon.expected, daemon.before = write.after, write.read.belt
        if write.applied and abs(write.after - write.value) > NOTICEABLE:
            self._taken_instead, self._last_foreign = write.after, write.time
        self._writes.append(write)

    def _judge_value(self, write: WriteEntry) -> None:
        envelope = self._envelope
        if not math.isfinite(write.value):
            raise Violation(f"not finite: {write}")
        if not envelope.low <= write.value <= envelope.high:
            raise Violation(f"outside the absolute limits: {write}")
        threshold = envelope.approval_threshold + ROUNDING
        if min(abs(write.value - anchor) for anchor in self._anchors) <= threshold:
            return
        if not any(self._is_covered(write, approval) for approval in self._approvals):
            raise Violation(f"further than the approval threshold from all that others brought in: {write}")
        self._anchors.append(write.value)

    def _is_covered(self, write: WriteEntry, approval: ApprovalEntry) -> bool:
        """Between what was approved before and what this consent approves, in time."""
        low, high = approval.value - approval.span - ROUNDING, approval.value + approval.span + ROUNDING
        anchors = (min(self._anchors), max(self._anchors))
        return write.time <= approval.until and min(low, *anchors) <= write.value <= max(high, *anchors)

    def _judge_freshness(self, write: WriteEntry) -> None:
        read, envelope = write.read, self._envelope
        if read is None or read.belt is None:
            raise Violation(f"written without a good readback: {write}")
        if write.time - read.time > envelope.readback_age_seconds:
            raise Violation(f"written on an old readback: {write}")
        if not read.thickness_good or write.time - read.whole_time > envelope.process_value_age_seconds:
            raise Violation(f"written without a good process value: {write}")
        if not read.permitted or write.time - read.whole_time > envelope.readback_age_seconds:
            raise Violation(f"written without permission: {write}")
        if not envelope.low <= read.belt <= envelope.high:
            raise Violation(f"written although the present value is outside the limits: {write}")

    def _judge_line(self, write: WriteEntry) -> None:
        """The line makes a grade that the loop knows, and its thickness has not died; a person may move the belt."""
        read, envelope = write.read, self._envelope
        if read is not None and read.grade_asked and read.grade not in envelope.grades:
            raise Violation(f"written while the line makes {read.grade}: {write}")
        left_at = self._daemons[write.by].left_at
        if (
            not self._walking
            and self._last_handover < left_at
            and write.time - left_at > envelope.frozen_seconds + FROZEN_MARGIN_SECONDS
        ):
            raise Violation(f"written although the thickness has stood still since {left_at}: {write}")

    def _judge_step(self, write: WriteEntry) -> None:
        """A step is measured from the readback; after a foreign change credit starts at zero."""
        assert write.read is not None
        assert write.read.belt is not None
        since = self._daemons[write.by].changed_at
        seconds = min(self._envelope.credit_seconds, write.time - since)
        allowed = min(self._envelope.rate_per_second * seconds, self._allowed(write.time - seconds, write.time))
        if abs(write.value - write.read.belt) > allowed + ROUNDING:
            raise Violation(f"more than {seconds:.3f} s of rate at once: {write}")

    def _judge_pairs(self, write: WriteEntry) -> None:
        """Rate between any two of our writes, however far apart; across runs unless somebody or a lie came between."""
        assert write.read is not None
        assert write.read.belt is not None
        if abs(write.read.belt - write.before) > NOTICEABLE:
            self._last_misled = write.time
        for earlier in self._writes:
            if earlier.by != write.by:
                taken = earlier.applied and abs(earlier.after - earlier.value) <= ROUNDING
                if not taken or max(self._last_foreign, self._last_misled) >= earlier.time:
                    continue
            allowed = self._allowed(earlier.time, write.time)
            if abs(write.value - earlier.value) > allowed + ROUNDING:
                raise Violation(f"rate between {earlier} and {write}")

    def _judge_beat(self, beat: BeatEntry) -> None:
        daemon = self._daemons.get(beat.by)
        if daemon is None or daemon.whole_read is None:
            raise Violation(f"a heartbeat without a cycle before it: {beat}")
        if daemon.whole_read.belt is None or not daemon.whole_read.thickness_good:
            raise Violation(f"a heartbeat after a cycle that read nothing good: {beat}")
        daemon.whole_read = None
