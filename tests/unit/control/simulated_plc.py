"""A PLC with one set-point and a ribbon behind it, with every fault that a plant can show, and its own journal."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from edged.clock import VirtualClock
from edged.errors import SourceLost, WriteFailed, WriteUnknown
from edged.types import Command, Quality, Sample, Seal, Value

LINE = "line_a"
THICKNESS = f"{LINE}/forming/thickness"
BELT = f"{LINE}/forming/belt_speed_setpoint"
HEARTBEAT = f"{LINE}/forming/heartbeat"
REMOTE = f"{LINE}/forming/remote_mode"
PERMISSIVE = f"{LINE}/forming/permissive"
RUNNING = f"{LINE}/forming/running"
CHANGEOVER = f"{LINE}/forming/changeover"
GRADE = f"{LINE}/forming/grade"

STEP_SECONDS = 0.1
DELAY_SECONDS = 7.0
LAG_SECONDS = 1.5
NOMINAL_PRODUCT = 600.0
"""Thickness in mm times belt speed in m/min."""

REQUEST_SECONDS = 0.002
BELT_RANGE = 200.0
THICKNESS_RANGE = 20.0


class WriteFault(StrEnum):
    """What can go wrong with one write."""

    TIMEOUT_APPLIED = "timeout_applied"
    TIMEOUT_LOST = "timeout_lost"
    ACK_LOST = "ack_lost"
    REJECTED = "rejected"
    BROKEN = "broken"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True)
class ReadEntry:
    """One answered read as it was on the wire; of a read that asked for the belt alone the rest is the last known.

    `thickness` is None where it was not good, `grade` where it was not asked for or not good.
    """

    time: float
    by: str
    belt: float | None
    whole: bool
    whole_time: float
    thickness_good: bool
    permitted: bool
    thickness: float | None
    grade_asked: bool
    grade: str | None


@dataclass(frozen=True)
class WriteEntry:
    """One write that reached the PLC. `by` tells which daemon sent it, or "operator" or "plc"."""

    time: float
    by: str
    value: float
    applied: bool
    before: float
    after: float
    read: ReadEntry | None


@dataclass(frozen=True)
class BeatEntry:
    """One heartbeat that was written."""

    time: float
    by: str
    count: int


@dataclass(frozen=True)
class HandoverEntry:
    """A person gave the output to control: asked for a mode, or, `walking`, for a value to be walked to."""

    time: float
    walking: bool = False


@dataclass(frozen=True)
class ApprovalEntry:
    """An engineer's consent was taken: up to `value`, and `span` to either side, until the monotonic time `until`."""

    time: float
    value: float
    span: float
    until: float


@dataclass(frozen=True)
class LimitsEntry:
    """Other limits were accepted, as far as the ceiling lets them; the threshold is the approval threshold."""

    time: float
    low: float
    high: float
    rate_per_second: float
    approval_threshold: float


Entry: TypeAlias = ReadEntry | WriteEntry | BeatEntry | HandoverEntry | ApprovalEntry | LimitsEntry


@dataclass
class Override:
    """What reads of one signal answer instead of the truth."""

    value: Value | None
    quality: int = Quality.GOOD
    source_time_shift: int = 0


@dataclass
class SimulatedPlc:
    """Holds the registers; `advance` moves clock and ribbon. Journal and rules are its own."""

    clock: VirtualClock
    seal: Seal
    belt: float = 150.0
    product: float = NOMINAL_PRODUCT
    remote: bool = True
    permissive: bool = True
    running: bool = True
    changeover: bool = False
    grade: str = "clear"
    heartbeat: int = 0
    noise: list[float] = field(default_factory=list)
    overrides: dict[str, Override] = field(default_factory=dict)
    write_faults: deque[WriteFault] = field(default_factory=deque)
    clamp_high: float = 1e9
    offline: bool = False
    journal: list[Entry] = field(default_factory=list)
    overtaking_value: float = 160.0
    request_seconds: float = REQUEST_SECONDS
    go_dark_after_write: bool = False
    on_write: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        self.first_belt = self.belt
        delay = round(DELAY_SECONDS / STEP_SECONDS)
        self._ribbon = deque([self.product / self.belt] * delay, maxlen=delay)
        self.thickness = self.product / self.belt
        self._noise_at = 0
        self._last_read: dict[str, ReadEntry] = {}
        self._last_stamp: dict[str, tuple[int, int]] = {}

    @property
    def writes(self) -> list[WriteEntry]:
        """Every write that reached the PLC, from whomever."""
        return [entry for entry in self.journal if isinstance(entry, WriteEntry)]

    @property
    def beats(self) -> list[BeatEntry]:
        """Every heartbeat."""
        return [entry for entry in self.journal if isinstance(entry, BeatEntry)]

    def note_handover(self, *, walking: bool = False) -> None:
        """Keeps in the journal that a person gave the output to control."""
        self.journal.append(HandoverEntry(self.clock.monotonic(), walking))

    def note_approval(self, value: float, span: float, seconds: float) -> None:
        """Keeps in the journal that an engineer's consent was taken."""
        now = self.clock.monotonic()
        self.journal.append(ApprovalEntry(now, value, span, now + seconds))

    def note_limits(self, low: float, high: float, rate_per_second: float, approval_threshold: float) -> None:
        """Keeps in the journal that other limits were accepted."""
        self.journal.append(LimitsEntry(self.clock.monotonic(), low, high, rate_per_second, approval_threshold))

    def advance(self, seconds: float) -> None:
        """Moves time on; the ribbon follows the belt after delay and lag."""
        steps = max(1, round(seconds / STEP_SECONDS))
        for _ in range(min(steps, 2000)):
            delayed = self._ribbon[0]
            self._ribbon.append(self.product / max(self.belt, 1.0))
            self.thickness += (delayed - self.thickness) * STEP_SECONDS / LAG_SECONDS
        self.clock.tick(seconds)

    def operate(self, value: float, by: str = "operator") -> None:
        """Somebody at the plant moves the set-point."""
        self._set(value, by)

    def reboot(self) -> None:
        """The PLC restarts with its registers at zero."""
        self._set(0.0, "plc")
        self.heartbeat = 0

    def answer(self, daemon: str, signals: Sequence[str]) -> list[Sample]:
        """One read request."""
        self.clock.tick(self.request_seconds)
        if self.offline:
            raise SourceLost("no answer")
        samples = [self._sample(signal) for signal in signals]
        found = {sample.signal: sample for sample in samples}
        if BELT in found:
            self._note_read(daemon, found)
        return samples

    def accept(self, daemon: str, command: Command) -> None:
        """One write request."""
        self.clock.tick(self.request_seconds)
        assert command.seal is self.seal
        if self.offline:
            raise WriteFailed("no connection")
        if self.clock.monotonic() > command.expires:
            raise WriteFailed("the command has expired")
        if command.signal == HEARTBEAT:
            self.heartbeat = int(command.value)
            self.journal.append(BeatEntry(self.clock.monotonic(), daemon, self.heartbeat))
            return
        assert command.signal == BELT
        self._accept_belt(daemon, command.value)

    def _accept_belt(self, daemon: str, value: float) -> None:
        fault = self.write_faults.popleft() if self.write_faults else None
        if self.on_write is not None:
            self.on_write()
        self.offline, self.go_dark_after_write = self.go_dark_after_write, False
        if fault is WriteFault.REJECTED:
            self._journal(value, daemon, applied=False)
            raise WriteFailed("illegal data value")
        if fault is WriteFault.BROKEN:
            self._journal(value, daemon, applied=False)
            raise ConnectionResetError("broken pipe")
        if fault in (WriteFault.TIMEOUT_LOST, WriteFault.ACK_LOST):
            self._journal(value, daemon, applied=False)
        else:
            self._set(min(value, self.clamp_high), daemon, value)
        if fault in (WriteFault.TIMEOUT_LOST, WriteFault.TIMEOUT_APPLIED):
            self.clock.tick(0.3)
            raise WriteUnknown("timed out")
        if fault is WriteFault.OVERTAKEN:
            self._set(self.overtaking_value, "operator")

    def _set(self, value: float, by: str, wanted: float | None = None) -> None:
        before, self.belt = self.belt, _float32(value)
        self._journal(value if wanted is None else wanted, by, applied=True, before=before)

    def _journal(self, value: float, by: str, *, applied: bool, before: float | None = None) -> None:
        read = self._last_read.get(by)
        start = self.belt if before is None else before
        self.journal.append(WriteEntry(self.clock.monotonic(), by, value, applied, start, self.belt, read))

    def _note_read(self, daemon: str, found: dict[str, Sample]) -> None:
        now, belt, thickness = self.clock.monotonic(), found[BELT], found.get(THICKNESS)
        last, whole = self._last_read.get(daemon), thickness is not None
        conditions = [found.get(signal) for signal in (REMOTE, PERMISSIVE, RUNNING)]
        changes_over, grade = found.get(CHANGEOVER), found.get(GRADE)
        permitted = all(map(_is_given, conditions)) and (changes_over is None or _is_denied(changes_over))
        stamp, received = self._last_stamp.get(daemon, (0, 0))
        late = belt.source_time < stamp and belt.receive_time >= received
        self._last_stamp[daemon] = (belt.source_time, belt.receive_time)
        read = ReadEntry(
            time=now,
            by=daemon,
            belt=None if late else _number(belt, BELT_RANGE),
            whole=whole,
            whole_time=now if whole else (last.whole_time if last else -1e9),
            thickness_good=_is_good(thickness) if whole else last is not None and last.thickness_good,
            permitted=permitted if whole else last is not None and last.permitted,
            thickness=_number(thickness, THICKNESS_RANGE) if thickness is not None else None,
            grade_asked=grade is not None if whole else last is not None and last.grade_asked,
            grade=_text(grade) if whole else (last.grade if last else None),
        )
        self._last_read[daemon] = read
        self.journal.append(read)

    def _sample(self, signal: str) -> Sample:
        now = self.clock.now()
        override = self.overrides.get(signal)
        if override is not None:
            return Sample(signal, override.value, now + override.source_time_shift, now, override.quality)
        return Sample(signal, self._truth(signal), now, now)

    def _truth(self, signal: str) -> Value:
        if signal == THICKNESS:
            self._noise_at += 1
            noise = self.noise[self._noise_at % len(self.noise)] if self.noise else 0.0
            return _float32(self.thickness + noise)
        truths: dict[str, Value] = {
            BELT: self.belt,
            HEARTBEAT: self.heartbeat,
            REMOTE: self.remote,
            PERMISSIVE: self.permissive,
            RUNNING: self.running,
            CHANGEOVER: self.changeover,
            GRADE: self.grade,
        }
        return truths[signal]


def _die() -> None:
    raise asyncio.CancelledError


class Interruption:
    """Cancels a daemon at the n-th time that it waits for something, before or after the effect; or does other harm."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._late = False
        self._happens: Callable[[], object] = _die

    def arm(self, waits: int, *, late: bool, happens: Callable[[], object] | None = None) -> None:
        """The daemon dies at its `waits`-th wait from now, or that happens; `late` lets the effect happen first."""
        self._left, self._late, self._happens = waits, late, happens or _die

    def disarm(self) -> None:
        """The daemon lives."""
        self._left = None

    def before(self) -> None:
        """Called where a wait begins."""
        if self._left is not None:
            self._left -= 1
            self._end(late=False)

    def after(self) -> None:
        """Called where a wait ends."""
        self._end(late=True)

    def _end(self, *, late: bool) -> None:
        if self._left is not None and self._left <= 0 and late == self._late:
            self._left = None
            self._happens()


class PlcClient:
    """One daemon's way to the PLC: implements `ports.Plant`."""

    def __init__(self, plc: SimulatedPlc, daemon: str, interruption: Interruption) -> None:
        self._plc = plc
        self._daemon = daemon
        self._interruption = interruption

    async def poll(self, signals: Sequence[str]) -> Sequence[Sample]:
        self._interruption.before()
        samples = self._plc.answer(self._daemon, signals)
        self._interruption.after()
        return samples

    async def write(self, command: Command) -> None:
        self._interruption.before()
        self._plc.accept(self._daemon, command)
        self._interruption.after()


def _float32(value: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def is_finite(value: Value | None) -> bool:
    """True for a number that a float32 register could hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e38


def _is_given(condition: Sample | None) -> bool:
    return condition is not None and condition.quality == Quality.GOOD and condition.value == 1


def _is_denied(condition: Sample) -> bool:
    return condition.quality == Quality.GOOD and condition.value == 0


def _text(sample: Sample | None) -> str | None:
    return None if sample is None or sample.quality != Quality.GOOD or sample.value is None else str(sample.value)


def _number(sample: Sample, highest: float) -> float | None:
    """The value, if it is good and within the range 0..highest of its signal."""
    value = sample.value
    if sample.quality != Quality.GOOD or isinstance(value, str) or value is None or not is_finite(value):
        return None
    return float(value) if 0.0 <= value <= highest else None


def _is_good(sample: Sample | None) -> bool:
    return sample is not None and _number(sample, THICKNESS_RANGE) is not None
