"""The limits in force: the configured ones until somebody pushes others. Tighter ones at once, wider ones only signed.

A push is all or nothing, on disk before it counts, and in force for gate and loops in one step without a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edged.clock import Clock
from edged.errors import ConfigError
from edged.log import get_logger
from edged.types import Limits, Refused, Signal
from edged_control.consent import Consent
from edged_control.gate import Mode
from edged_control.limits.envelope import EffectiveLimits, effective_limits, intersection, widened, within_range
from edged_control.limits.file import KeptLimits, LimitsFile, PushedLimits

CONFIGURED = "configuration"

log = get_logger("control")


class LimitsPush(NamedTuple):
    """Limits of some signals, by full path, and who pushes them; the others keep theirs.

    `consent` is what an engineer has signed, with `signer`'s key; whoever makes a push has verified it.
    """

    limits: tuple[Limits, ...]
    identity: str
    consent: Consent | None = None
    signer: str = ""


@dataclass(frozen=True, slots=True)
class LimitsStatus:
    """The limits in force of one signal. `origin` tells whose they are, and that the ceiling narrows them further.

    A signal with a `fault` can't be written.
    """

    signal: str
    unit: str
    low: float
    high: float
    rate_per_second: float
    approval_threshold: float
    origin: str
    since: int | None
    fault: str


class Limited(Protocol):
    """A loop, as far as limits are concerned."""

    name: str

    @property
    def output(self) -> str:
        """The signal that it writes."""
        ...

    @property
    def mode(self) -> Mode:
        """The actual mode."""
        ...

    @property
    def rests(self) -> bool:
        """Whether a person keeps it from moving its output by itself."""
        ...

    def adopt(self, limits: EffectiveLimits, strays_beyond: float) -> None:
        """Other limits from now on."""
        ...


class LiveLimits:
    """Knows the limits of every signal and whose they are. `unfit` tells by output what a loop can't work with."""

    def __init__(
        self,
        *,
        line: str,
        config_hash: str,
        signals: Mapping[str, Signal],
        ceiling: Sequence[Limits],
        configured: Sequence[Limits],
        unfit: Callable[[Mapping[str, EffectiveLimits]], Mapping[str, str]],
        file: LimitsFile,
        clock: Clock,
    ) -> None:
        self._line = line
        self._config_hash = config_hash
        self._signals = signals
        self._ceiling = ceiling
        self._configured = {limits.signal: limits for limits in configured}
        self._unfit = unfit
        self._file = file
        self._clock = clock
        self._loops: tuple[Limited, ...] = ()
        self._adopt: Callable[[Mapping[str, EffectiveLimits]], None] = lambda _: None
        self._pushed = PushedLimits()
        self._active: dict[str, Limits] = {}
        self._faults: dict[str, str] = {}
        self.effective: dict[str, EffectiveLimits] = {}
        self.load()

    def serve(self, gate: Callable[[Mapping[str, EffectiveLimits]], None], loops: Iterable[Limited]) -> None:
        """Who gets the limits from now on: the gate, which takes them, and the loops."""
        self._adopt, self._loops = gate, tuple(loops)
        self._put_in_force(self.effective, self._loops)

    def fault(self, signal: str) -> str:
        """Why the limits of a signal are not known, so that its loop must stay out of service; empty when they are."""
        return self._faults.get(signal, "")

    def load(self) -> None:
        """Reads the file: what another process, or an earlier run, was pushed. What can't be told is a fault.

        For a loop that moves its output by itself nothing gets wider by that, whatever became of the file.
        """
        moving = {loop.output for loop in self._loops if not loop.rests}
        held = {signal: limits for signal, limits in self._active.items() if signal in moving}
        self._pushed = self._file.load()
        self._active, self._faults = {}, {}
        for signal in {**self._configured, **self._pushed.signals}:
            self._take(signal, held.get(signal))
        before, effective = self.effective, self._effective(self._active.values())
        for signal, fault in self._unfit(effective).items():
            self._faults.setdefault(signal, fault)
        known = {signal: limits for signal, limits in effective.items() if signal not in self._faults}
        self._put_in_force(known, (loop for loop in self._loops if before.get(loop.output) != known.get(loop.output)))

    def apply_limits(self, push: LimitsPush) -> Refused | str:
        """Puts a push in force between two waits; what changed, or why nothing did.

        The caller holds the lease of the line and has made sure that the push can be recorded.
        """
        listed = [self._clipped(limits) for limits in push.limits]
        named = {limits.signal for limits in listed}
        rest = [limits for signal, limits in self._active.items() if signal not in named]
        try:
            effective = effective_limits(self._signals, self._ceiling, [*rest, *listed])
        except ConfigError as fault:
            return Refused("\n".join(fault.faults))
        unfit = [fault for signal, fault in self._unfit(effective).items() if signal not in self._faults.keys() - named]
        unfit += [f"limits: {signal}: it is not writable, so limits have no use" for signal in named - effective.keys()]
        reason = "\n".join(unfit) or self._forbidden(push, listed)
        if reason:
            return Refused(reason)
        before = {signal: self.effective.get(signal) for signal in named}
        try:
            self._keep(push, listed)
        except OSError as fault:
            return Refused(f"memory: the limits can't be kept: {fault.strerror}")
        self._active.update({limits.signal: limits for limits in listed})
        for signal in named:
            self._faults.pop(signal, None)
        known = {signal: limits for signal, limits in effective.items() if signal not in self._faults}
        changed = {signal for signal in named if before[signal] != known[signal]}
        self._put_in_force(known, (loop for loop in self._loops if loop.output in changed))
        log.info("limits", identity=push.identity, signer=push.signer, signals=sorted(changed))
        return "; ".join(self._change(signal, before[signal]) for signal in sorted(named))

    def status(self) -> tuple[LimitsStatus, ...]:
        """One line per signal that has limits or should have."""
        return tuple(map(self._one_status, sorted({**self._configured, **self._active, **self._faults})))

    def _take(self, signal: str, held: Limits | None) -> None:
        """What holds of a signal, never more than what is `held`; or the fault for which nothing is known to hold."""
        kept = self._pushed.signals.get(signal)
        if kept is None and self._pushed.lost:
            self._faults[signal] = (
                f"limits: {self._file.path} is damaged, so nobody knows which limits were in force: an engineer pushes "
                "them signed, or the file is removed and the configured ones hold"
            )
            return
        limits = self._meant(signal)
        if limits is None:
            return
        if held is not None and held.unit == limits.unit:
            limits = intersection(held, limits)
        try:
            effective_limits(self._signals, self._ceiling, [limits])
        except ConfigError as fault:
            whose = CONFIGURED if kept is None else f"pushed by {kept.identity}"
            self._faults[signal] = f"{fault.faults[0]} ({whose}): push others"
            return
        self._active[signal] = limits

    def _meant(self, signal: str) -> Limits | None:
        """What was pushed, within what is configured unless it was accepted under just that; None for neither."""
        configured, kept = self._configured.get(signal), self._pushed.signals.get(signal)
        if kept is None:
            return configured
        if kept.config_hash == self._config_hash:
            return kept.limits()
        if configured is None or configured.unit != kept.unit:
            return None if configured is None else kept.limits()
        return intersection(configured, kept.limits())

    def _effective(self, active: Iterable[Limits]) -> dict[str, EffectiveLimits]:
        return effective_limits(self._signals, self._ceiling, list(active))

    def _clipped(self, limits: Limits) -> Limits:
        signal = self._signals.get(limits.signal)
        return limits if signal is None else within_range(signal, limits)

    def _forbidden(self, push: LimitsPush, listed: Sequence[Limits]) -> str:
        """Why a push may not be put in force, although it could be; empty when it may."""
        consent = push.consent
        if consent is not None and consent.line != self._line:
            return f"key: it is signed for {consent.line}, this is {self._line}"
        if consent is not None and self._pushed.is_spent(consent.identity, consent.issued):
            return "key: it was used before"
        wider = {
            limits.signal: numbers for limits in listed if (numbers := widened(self._active.get(limits.signal), limits))
        }
        if wider and consent is None:
            told = "\n".join(f"limits: {signal}: {', '.join(numbers)}" for signal, numbers in wider.items())
            return f"{told}\nkey: wider limits must be signed with an engineering key"
        return "\n".join(
            f"mode: {loop.name} is in {loop.mode}: limits are widened only in MAN"
            for loop in self._loops
            if loop.output in wider and not loop.rests
        )

    def _keep(self, push: LimitsPush, listed: Sequence[Limits]) -> None:
        """Raises OSError, and nothing has changed."""
        pushed, consent = self._pushed, push.consent
        signals = {**pushed.signals, **{limits.signal: self._kept(push, limits) for limits in listed}}
        lost = pushed.lost and not self._configured.keys() <= signals.keys()
        spent = {} if consent is None else pushed.spending(consent.identity, consent.issued)
        pushed = pushed.model_copy(update={"signals": signals, "lost": lost, **spent})
        self._file.keep(pushed)
        self._pushed = pushed

    def _kept(self, push: LimitsPush, limits: Limits) -> KeptLimits:
        before, active = self._pushed.signals.get(limits.signal), self._active.get(limits.signal)
        thresholds = [limits.approval_threshold]
        thresholds += [] if before is None else [before.widest_threshold]
        thresholds += [] if active is None else [active.approval_threshold]
        return KeptLimits(
            signal=limits.signal,
            unit=limits.unit,
            low=limits.low,
            high=limits.high,
            rate_per_second=limits.rate_per_second,
            approval_threshold=limits.approval_threshold,
            widest_threshold=max(thresholds),
            config_hash=self._config_hash,
            identity=push.identity,
            signer=push.signer,
            time=self._clock.now(),
        )

    def _put_in_force(self, effective: dict[str, EffectiveLimits], loops: Iterable[Limited]) -> None:
        """Without a wait: no cycle sees one half of it."""
        self.effective = effective
        self._adopt(effective)
        for loop in loops:
            limits, kept = effective.get(loop.output), self._pushed.signals.get(loop.output)
            if limits is not None:
                loop.adopt(limits, max(limits.approval_threshold, 0.0 if kept is None else kept.widest_threshold))

    def _change(self, signal: str, before: EffectiveLimits | None) -> str:
        return f"{signal}: {_told(before)} -> {_told(self.effective.get(signal))}"

    def _one_status(self, signal: str) -> LimitsStatus:
        limits = self.effective.get(signal) or self._active.get(signal) or self._configured[signal]
        kept, active = self._pushed.signals.get(signal), self._active.get(signal)
        origin = CONFIGURED if kept is None else f"pushed by {kept.identity}"
        if kept is not None and kept.signer:
            origin += f", signed by {kept.signer}"
        if active is not None and _numbers(active) != _numbers(limits):
            origin += ", within the ceiling"
        return LimitsStatus(
            signal=signal,
            unit=limits.unit,
            low=limits.low,
            high=limits.high,
            rate_per_second=limits.rate_per_second,
            approval_threshold=limits.approval_threshold,
            origin=origin,
            since=None if kept is None else kept.time,
            fault=self.fault(signal),
        )


def told_limits(limits: Limits | EffectiveLimits) -> str:
    """The limits with their signal, as a person would write them down."""
    return f"{limits.signal}: {_told(limits)}"


def _told(limits: Limits | EffectiveLimits | None) -> str:
    if limits is None:
        return "none"
    span, rate = f"{limits.low:.10g}..{limits.high:.10g}", f"{limits.rate_per_second:.10g}"
    return f"{span} {limits.unit}, {rate} per s, approval {limits.approval_threshold:.10g}"


def _numbers(limits: Limits | EffectiveLimits) -> tuple[float, float, float, float]:
    return limits.low, limits.high, limits.rate_per_second, limits.approval_threshold
