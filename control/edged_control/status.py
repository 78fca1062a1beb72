"""How control is doing: counters for /metrics and one line per loop for /status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import Counter

from edged.metrics import Metrics
from edged.types import WriteOutcome
from edged_control.gate import Mode


class Waiting(NamedTuple):
    """Who waits for an approval, to move where, and why one is needed; `since` in ns UTC."""

    who: str
    value: float
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """How one loop is doing. `reason` tells why it isn't in its target mode, `output` what was last let through.

    `rung` leads, or would lead in AUTO; `rung_reason` tells why that is not the configured controller. `assumed` tells
    how the model that plans differs from the identified one.

    `signal` is the output, in `unit`. It may move by the threshold around the baseline, and to what `grant` approves.
    """

    name: str
    actual_mode: Mode
    target_mode: Mode
    reason: str
    controller: str
    rung: str
    rung_reason: str
    assumed: str
    set_point: float
    process_value: float | None
    output: float | None
    readback: float | None
    verified_writes: int
    failed_writes: int
    refusals: int
    last_verdict: str
    last_reason: str
    last_decision: str
    signal: str
    unit: str
    baseline: float | None
    approval_threshold: float
    grant: float | None
    waiting: Waiting | None
    line_state: str
    grade: str


@dataclass(slots=True)
class Tally:
    """What one loop has done since it was built, and last of all."""

    verified: int = 0
    failed: int = 0
    refusals: int = 0
    verdict: str = ""
    reason: str = ""
    value: float | None = None
    decision: str = ""


class ControlMeters:
    """The metrics of all loops together."""

    def __init__(self, metrics: Metrics) -> None:
        writes = metrics.counter("edged_control_writes_total", "Writes to the plant by outcome", ("outcome",))
        self.writes: dict[WriteOutcome, Counter] = {
            outcome: writes.labels(outcome.value) for outcome in WriteOutcome if outcome is not WriteOutcome.NONE
        }
        self.refusals = metrics.counter("edged_control_refusals_total", "Proposals that the gate refused")
        self.overruns = metrics.counter("edged_control_overruns_total", "Control periods that were missed")
        self.heartbeats = metrics.counter("edged_control_heartbeats_total", "Heartbeats written to the plant")
        self.unsolved = metrics.counter("edged_control_unsolved_total", "Cycles in which a solver had no usable answer")
        self.solve_seconds = metrics.histogram("edged_control_solve_seconds", "Duration of one solve in its process")
        self.cycle_seconds = metrics.histogram("edged_control_cycle_seconds", "Duration of one control cycle")
