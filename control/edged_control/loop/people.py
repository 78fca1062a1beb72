"""What people do to a loop: take its output at the plant and hand it back, choose its mode, approve a far move."""

from __future__ import annotations

from edged.types import Refused
from edged_control.approval import Approval
from edged_control.gate import Mode
from edged_control.limits.envelope import EffectiveLimits
from edged_control.loop.baseline import Baseline
from edged_control.loop.modes import Modes
from edged_control.loop.output import Output
from edged_control.loop.proposer import Proposer
from edged_control.loop.scan import Seen
from edged_control.loop.waiting import WaitingRoom
from edged_control.memory import Granted
from edged_control.surroundings import Surroundings

REQUESTABLE = frozenset({Mode.MANUAL, Mode.AUTOMATIC, Mode.OUT_OF_SERVICE})


class People:
    """Every call takes effect at once, also in the middle of a cycle."""

    def __init__(
        self,
        path: str,
        limits: EffectiveLimits,
        around: Surroundings,
        *,
        modes: Modes,
        output: Output,
        baseline: Baseline,
        proposer: Proposer,
        room: WaitingRoom,
    ) -> None:
        self._path = path
        self._limits = limits
        self._strays_beyond = limits.approval_threshold
        self._around = around
        self._modes = modes
        self._output = output
        self._baseline = baseline
        self._proposer = proposer
        self._room = room
        self._entered = False
        self._was_parked = False

    def adopt(self, limits: EffectiveLimits, strays_beyond: float) -> None:
        """Other limits. What lies further than `strays_beyond` from the baseline was brought there by somebody else."""
        self._limits, self._strays_beyond = limits, strays_beyond

    def notice(self, seen: Seen) -> None:
        """Gives way at once where a good readback shows that somebody else moved the output."""
        present = seen.present()
        moved = "" if present is None else self._output.observe(present)
        if moved:
            self.give_way(moved, seen)

    def arrive(self) -> None:
        """The output is known again after it was out of service: what moves from now on is no entry."""
        self._was_parked = False

    def give_way(self, reason: str, seen: Seen | None = None) -> None:
        """Somebody else moved the output; where the plant had not given it to us, that was an entry and no override."""
        if self._around.advisory:
            return
        self._proposer.drop()
        is_entry = self._was_parked or (seen is not None and seen.is_denied())
        if is_entry and self._output.expected is not None:
            self._baseline.enter(self._output.expected)
            return
        self._entered = True
        self._modes.give_way(reason)

    def request_mode(self, target: Mode, identity: str) -> Refused | None:
        """Asks for AUTO, MAN or out of service; None when it was done."""
        if target not in REQUESTABLE:
            return Refused(f"mode: {target} can't be asked for")
        was_parked = self._modes.target is Mode.OUT_OF_SERVICE
        present = self._output.expected
        entered = self._entered or self._has_strayed(present)
        refused = self._modes.request(target, present, entered=entered, identity=identity)
        if refused is None:
            self._entered = self._entered and (was_parked or target is Mode.OUT_OF_SERVICE)
            self._was_parked = self._was_parked or was_parked
            self._proposer.drop()
            self._room.clear()
        return refused

    def release(self, identity: str) -> Refused | None:
        """Gives an output that was taken over at the plant back to its controller."""
        if self._modes.actual is not Mode.LOCAL_OVERRIDE:
            return Refused(f"mode: the loop is in {self._modes.actual}, there is no local override to end")
        return self.request_mode(Mode.AUTOMATIC, identity)

    def grant(self, approval: Approval, signer: str) -> Refused | None:
        """An engineer approves a move beyond the threshold; None when it is granted, and used up."""
        refused = self._unfit(approval)
        if refused is not None:
            return refused
        granted = Granted(
            value=approval.value,
            span=approval.span,
            accepted=self._around.clock.now(),
            expires=approval.expires,
            identity=approval.identity,
            signer=signer,
        )
        if not self._baseline.approve(granted, approval.issued):
            return Refused("approval: it can't be kept, so it is not used")
        self._room.clear()
        return None

    def _unfit(self, approval: Approval) -> Refused | None:
        """Why an approval, although signed by a known key, is not for this loop now."""
        limits, baseline, waiting = self._limits, self._baseline.value, self._room.waiting
        if self._around.advisory:
            return Refused("mode: advisory, nothing is written")
        if (approval.line, approval.signal) != (self._around.line, self._path):
            return Refused(f"approval: it is for {approval.signal} of {approval.line}, not for {self._path}")
        if approval.unit != limits.unit:
            return Refused(f"approval: it is in {approval.unit!r}, {self._path} is in {limits.unit!r}")
        if self._baseline.is_spent(approval.identity, approval.issued):
            return Refused("approval: it was used before")
        if not limits.low <= approval.value <= limits.high:
            return Refused(f"limits: {approval.value:g} is outside {limits.low:g}..{limits.high:g} {limits.unit}")
        if baseline is None or not self._modes.started:
            return Refused("approval: there is no approved baseline to move from")
        low, high = min(baseline, approval.value - approval.span), max(baseline, approval.value + approval.span)
        if waiting is not None and not low <= waiting.value <= high:
            told = f"{approval.value:g} +/- {approval.span:g} {limits.unit}"
            return Refused(f"approval: it is for {told}, what waits is {waiting.value:g}")
        return None

    def _has_strayed(self, present: float | None) -> bool:
        """Whether the output is where only somebody else can have brought it."""
        baseline = self._baseline.value
        return present is not None and (baseline is None or abs(present - baseline) > self._strays_beyond)
