"""The gate: the only maker of Commands. It is pure, denies by default and tells why.

Order of checks: mode, line state and permissives -> freshness and quality -> finite -> absolute limits -> approval ->
rate -> deadband -> final re-check that refuses instead of repairing. Every reason begins with the name of its check.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from edged.types import Allowed, Clamped, Command, Proposal, Quality, Refused, Seal, Value, Verdict, Waits
from edged_control.limits.envelope import EffectiveLimits

CREDIT_CAP_SECONDS = 60.0
CREDIT_CAP_PERIODS = 2.0
PROCESS_VALUE_AGE_PERIODS = 3.0
READBACK_AGE_PERIODS = 1.0
COMMAND_LIFE_SECONDS = 5.0
HEARTBEAT_MODULUS = 32_768
"""The heartbeat counts 0..32767: it fits signed and unsigned registers of 16 bits and more."""

HOLD = Refused("deadband: the move is too small to be written")
"""Nothing needs to be written: no fault, no alarm."""


class Mode(StrEnum):
    """Who moves the output: nobody, a person through edged, the controller, or a person at the plant."""

    OUT_OF_SERVICE = "OOS"
    MANUAL = "MAN"
    AUTOMATIC = "AUTO"
    LOCAL_OVERRIDE = "local-override"


CONTROLLERS: Mapping[str, Mode] = {
    "nonlinear_mpc": Mode.AUTOMATIC,
    "mpc": Mode.AUTOMATIC,
    "pid": Mode.AUTOMATIC,
    "walk": Mode.MANUAL,
}
"""Sources inside the loop and the mode that each needs; they are clamped. Every other source is refused instead."""


class Observed(NamedTuple):
    """A value that was read at the plant; `read_at` is the monotonic time at which the read began."""

    value: Value | None
    quality: int
    read_at: float


class Permissive(NamedTuple):
    """A condition at the plant without which nothing is written: remote mode, interlocks, the line runs."""

    name: str
    observed: Observed
    equals: bool

    def is_denied(self) -> bool:
        """Whether the plant says for sure that it is not given."""
        return self.observed.quality == Quality.GOOD and self.observed.value != self.equals


class Grant(NamedTuple):
    """What an engineer approved beyond the threshold: everything up to `value` and `span` to either side of it.

    `until` is in monotonic seconds.
    """

    value: float
    span: float
    until: float


class Applied(NamedTuple):
    """A value that was sent to the plant; `time` is the monotonic time by which its outcome was known."""

    value: float
    time: float


@dataclass(frozen=True, slots=True)
class PlantView:
    """What the gate is told of the plant around one output. Times are monotonic seconds, values in the output's unit.

    `frozen` tells that the process value stands still although the output moves.
    `expected` is what the readback shows unless somebody else moved it, `credit_since` the last time that it moved.
    """

    mode: Mode
    advisory: bool
    lease_held: bool
    recordable: bool
    unacknowledged: bool
    permissives: tuple[Permissive, ...]
    process_value: Observed
    frozen: bool
    readback: Observed
    expected: float
    credit_since: float
    history: tuple[Applied, ...]
    baseline: float | None
    grant: Grant | None
    period_seconds: float
    tolerance: float
    deadband: float


class _Case(NamedTuple):
    """The finite numbers of one judgement; `target` is the wish as far as the limits let it go."""

    wish: float
    target: float
    present: float
    baseline: float
    approved: tuple[float, float]
    limits: EffectiveLimits
    controller: bool


class Gate:
    """Judges proposals and makes sealed Commands. A signal without limits can't be written."""

    def __init__(self, limits: Mapping[str, EffectiveLimits], seal: Seal, heartbeats: Collection[str] = ()) -> None:
        self._limits = dict(limits)
        self._seal = seal
        self._heartbeats = frozenset(heartbeats) - limits.keys()

    def adopt(self, limits: Mapping[str, EffectiveLimits]) -> None:
        """From the next judgement on these limits hold, and no others; what was judged before is checked by them."""
        self._limits = dict(limits)
        self._heartbeats -= limits.keys()

    def aim(self, proposal: Proposal, view: PlantView, now: float) -> Verdict:
        """Judges where a proposal wants to go: every check but rate and deadband, which bind the steps towards it."""
        case = self._examine(proposal, view, now)
        return case if isinstance(case, Refused) else _verdict(case, case.target)

    def judge(self, proposal: Proposal, view: PlantView, now: float) -> Verdict:
        """What may be written now: controllers are clamped, everybody else is refused with the reason."""
        case = self._examine(proposal, view, now)
        if isinstance(case, Refused):
            return case
        low, high = _reach(case, view, now)
        value = min(max(case.target, low), high)
        if low > high or (value - case.present) * (case.target - case.present) < 0:
            return Refused("rate: earlier moves have used up what the rate allows")
        if value != case.target and not case.controller:
            return Refused(f"rate: {case.target:g} is outside {low:g}..{high:g}, which the rate allows now")
        if abs(value - case.present) <= max(view.tolerance, view.deadband if view.mode is Mode.AUTOMATIC else 0.0):
            return HOLD
        reason = _violation(value, case, view, now)
        return Refused(reason) if reason else _verdict(case, value)

    def admit(
        self, proposal: Proposal, value: float, view: PlantView, now: float, decision: str
    ) -> tuple[Verdict, Command | None]:
        """The final re-check of a value that was judged and recorded: taken as it is, or not at all."""
        if view.advisory:
            return Refused("mode: advisory, nothing is written"), None
        case = self._examine(proposal, view, now)
        if isinstance(case, Refused):
            return case, None
        reason = _violation(value, case, view, now)
        if reason:
            return Refused(reason), None
        return _verdict(case, value), self._command(proposal.signal, value, proposal.source, view, now, decision)

    def beat(
        self, signal: str, last: Observed, view: PlantView, now: float, decision: str
    ) -> tuple[Verdict, Command | None]:
        """Advances a heartbeat by one after a full cycle: everything was read and the output is where it belongs.

        A permissive that is not given does not stop it: then holding is right.
        """
        reason = self._heartless(signal, last, view, now)
        count = number(last.value)
        if reason or count is None:
            return Refused(reason or "finite: the heartbeat is not a number"), None
        value = float((int(count) + 1) % HEARTBEAT_MODULUS)
        return Allowed(value), self._command(signal, value, "heartbeat", view, now, decision)

    def _examine(self, proposal: Proposal, view: PlantView, now: float) -> _Case | Refused:
        """Every check from mode to approval."""
        limits = self._limits.get(proposal.signal)
        if limits is None:
            return Refused(f"limits: {proposal.signal} has none, so it can't be written")
        reason = _barred(proposal, view, now) or _not_permitted(view, now) or _stale(view, now)
        if reason:
            return Refused(reason)
        if view.frozen and view.mode is Mode.AUTOMATIC:
            return Refused("freshness: the process value stands still although the output moves")
        wish, present = number(proposal.value), number(view.readback.value)
        if wish is None or present is None or number(view.process_value.value) is None:
            return Refused("finite: the wish, the readback or the process value is not a finite number")
        if not limits.low <= present <= limits.high:
            return Refused(f"limits: the present value {present:g} is outside {limits.low:g}..{limits.high:g}")
        target, controller = min(max(wish, limits.low), limits.high), proposal.source in CONTROLLERS
        if target != wish and not controller:
            return Refused(f"limits: {wish:g} is outside {limits.low:g}..{limits.high:g} {limits.unit}")
        baseline = number(view.baseline)
        if baseline is None:
            return Refused("approval: there is no approved baseline")
        approved = _approved(baseline, limits.approval_threshold, view.grant, now)
        case = _Case(wish, target, present, baseline, approved, limits, controller)
        reason = _unapproved(target, case)
        return Waits(reason, target) if reason else case

    def _heartless(self, signal: str, last: Observed, view: PlantView, now: float) -> str:
        if signal not in self._heartbeats:
            return f"limits: {signal} is not a heartbeat"
        if view.advisory:
            return "mode: advisory, nothing is written"
        reason = _closed(view) or _unread_permissive(view, now) or _stale(view, now)
        if reason:
            return reason
        present = number(view.readback.value)
        if present is None or number(view.process_value.value) is None:
            return "finite: the readback or the process value is not a finite number"
        if not _ours(present, view):
            return "rate: the readback is not what it should be"
        return (
            "" if _is_fresh(last, now, READBACK_AGE_PERIODS * view.period_seconds) else "freshness: no heartbeat read"
        )

    def _command(self, signal: str, value: float, origin: str, view: PlantView, now: float, decision: str) -> Command:
        expires = now + min(COMMAND_LIFE_SECONDS, view.period_seconds)
        return Command(signal, value, origin, now, expires, decision, self._seal)


def number(value: object) -> float | None:
    """The value as a finite float, or None when it is none: bool, text, NaN, infinite, too large, absent."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None


def credit_cap(period_seconds: float) -> float:
    """How many seconds of unused rate may be saved up."""
    return min(CREDIT_CAP_SECONDS, CREDIT_CAP_PERIODS * period_seconds)


def remember(history: tuple[Applied, ...], applied: Applied, rate_per_second: float) -> tuple[Applied, ...]:
    """The history with a write added, without those that can no longer bind because the new one binds more."""
    binding = tuple(
        older for older in history if abs(applied.value - older.value) > rate_per_second * (applied.time - older.time)
    )
    return (*binding, applied)


def _closed(view: PlantView) -> str:
    if view.mode is Mode.OUT_OF_SERVICE:
        return "mode: the loop is out of service"
    if not view.lease_held:
        return "mode: another writer holds the lease of the line"
    if not view.recordable:
        return "mode: decisions can't be recorded"
    if view.unacknowledged:
        return "mode: the outcome of the last write is not known yet"
    return ""


def _barred(proposal: Proposal, view: PlantView, now: float) -> str:
    needed = CONTROLLERS.get(proposal.source, Mode.MANUAL)
    if view.mode is not needed:
        return f"mode: the loop is in {view.mode}, {proposal.source} needs {needed}"
    if not now < proposal.expires:
        return "mode: the proposal has expired"
    return _closed(view)


def _not_permitted(view: PlantView, now: float) -> str:
    unread = _unread_permissive(view, now)
    if unread:
        return unread
    for permissive in view.permissives:
        if permissive.observed.value != permissive.equals:
            return f"permissive: {permissive.name} is {permissive.observed.value}, must be {permissive.equals}"
    return ""


def _unread_permissive(view: PlantView, now: float) -> str:
    for permissive in view.permissives:
        if not _is_fresh(permissive.observed, now, READBACK_AGE_PERIODS * view.period_seconds):
            return f"permissive: {permissive.name} could not be read"
    return ""


def _stale(view: PlantView, now: float) -> str:
    if not _is_fresh(view.process_value, now, PROCESS_VALUE_AGE_PERIODS * view.period_seconds):
        return "freshness: the process value is stale or not good"
    if not _is_fresh(view.readback, now, READBACK_AGE_PERIODS * view.period_seconds):
        return "freshness: the readback is stale or not good"
    return ""


def _is_fresh(observed: Observed, now: float, age_seconds: float) -> bool:
    return observed.quality == Quality.GOOD and 0.0 <= now - observed.read_at <= age_seconds


def _approved(baseline: float, threshold: float, grant: Grant | None, now: float) -> tuple[float, float]:
    """Where the output may be: the threshold around the baseline, with a grant all the way to what it approves."""
    low, high = baseline - threshold, baseline + threshold
    if grant is None or number(grant.value) is None or number(grant.span) is None:
        return low, high
    if not now < grant.until or grant.span < 0:
        return low, high
    return min(low, grant.value - grant.span), max(high, grant.value + grant.span)


def _unapproved(value: float, case: _Case) -> str:
    low, high = case.approved
    if low <= value <= high:
        return ""
    span = f"{case.limits.approval_threshold:g} {case.limits.unit}"
    return f"approval: {value:g} is more than {span} from the approved {case.baseline:g}"


def _ours(present: float, view: PlantView) -> bool:
    return abs(present - view.expected) <= view.tolerance


def _reach(case: _Case, view: PlantView, now: float) -> tuple[float, float]:
    """What the rate allows now, seen from the readback and from every older write; empty when low is above high."""
    rate = case.limits.rate_per_second
    credit = rate * min(now - view.credit_since, credit_cap(view.period_seconds))
    low, high = case.present - credit, case.present + credit
    for applied in view.history:
        span = rate * (now - applied.time)
        low, high = max(low, applied.value - span), min(high, applied.value + span)
    return low, high


def _violation(value: float, case: _Case, view: PlantView, now: float) -> str:
    """The final re-check of one value."""
    if number(value) is None:
        return "finite: the value is not a finite number"
    if not case.limits.low <= value <= case.limits.high:
        return f"limits: {value:g} is outside {case.limits.low:g}..{case.limits.high:g} {case.limits.unit}"
    if not _ours(case.present, view):
        return "rate: somebody else moved the output"
    low, high = _reach(case, view, now)
    if not low <= value <= high:
        return f"rate: {value:g} is outside {low:g}..{high:g}, which the rate allows now"
    return _unapproved(value, case)


def _verdict(case: _Case, value: float) -> Verdict:
    if value == case.wish:
        return Allowed(value)
    return Clamped(value, "limits" if value == case.target else "rate")
