"""The envelope of each writable signal: the narrowest of signal range, ceiling and active limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edged.errors import ConfigError
from edged.types import Limits, Signal


@dataclass(frozen=True, slots=True)
class EffectiveLimits:
    """What the gate holds every command to, in the signal's unit; the approval threshold is a cumulative span."""

    signal: str
    unit: str
    low: float
    high: float
    rate_per_second: float
    approval_threshold: float


def effective_limits(
    signals: Mapping[str, Signal], ceiling: Sequence[Limits], active: Sequence[Limits]
) -> dict[str, EffectiveLimits]:
    """Limits by path, for the writable signals that both lists name. Raises ConfigError with every fault found."""
    above = {limits.signal: limits for limits in ceiling}
    faults = [*_faults("ceiling", signals, ceiling), *_faults("limits", signals, active)]
    for limits in active:
        if limits.signal not in signals:
            faults.append(f"limits: {limits.signal}: there is no such signal")
        elif limits.signal not in above:
            faults.append(f"limits: {limits.signal}: the ceiling does not name it, so it could never be written")
    if faults:
        raise ConfigError(faults)
    narrowed = [
        _narrowest(signals[limits.signal], above[limits.signal], limits)
        for limits in active
        if signals[limits.signal].writable
    ]
    empty = [
        f"limits: {limits.signal}: nothing is left between range, ceiling and limits, got {limits.low}..{limits.high}"
        for limits in narrowed
        if not limits.low < limits.high
    ]
    if empty:
        raise ConfigError(empty)
    return {limits.signal: limits for limits in narrowed}


def within_range(signal: Signal, limits: Limits) -> Limits:
    """The limits without what lies outside the range of their signal; low may come to lie above high."""
    low = limits.low if signal.low is None else max(limits.low, signal.low)
    high = limits.high if signal.high is None else min(limits.high, signal.high)
    return replace(limits, low=low, high=high)


def intersection(one: Limits, other: Limits) -> Limits:
    """What two limits of one signal, in one unit, both allow; low may come to lie above high."""
    return replace(
        one,
        low=max(one.low, other.low),
        high=min(one.high, other.high),
        rate_per_second=min(one.rate_per_second, other.rate_per_second),
        approval_threshold=min(one.approval_threshold, other.approval_threshold),
    )


def widened(before: Limits | None, after: Limits) -> tuple[str, ...]:
    """Every number that allows more than before, in words; empty when none does. None allowed nothing."""
    if before is None:
        return ("had no limits before",)
    found = []
    if after.low < before.low:
        found.append(f"low {after.low:.10g} instead of {before.low:.10g}")
    if after.high > before.high:
        found.append(f"high {after.high:.10g} instead of {before.high:.10g}")
    if after.rate_per_second > before.rate_per_second:
        found.append(f"rate {after.rate_per_second:.10g} per second instead of {before.rate_per_second:.10g}")
    if after.approval_threshold > before.approval_threshold:
        found.append(f"approval threshold {after.approval_threshold:.10g} instead of {before.approval_threshold:.10g}")
    return tuple(found)


def _narrowest(signal: Signal, ceiling: Limits, active: Limits) -> EffectiveLimits:
    lows = [bound for bound in (signal.low, ceiling.low, active.low) if bound is not None]
    highs = [bound for bound in (signal.high, ceiling.high, active.high) if bound is not None]
    return EffectiveLimits(
        signal=signal.path,
        unit=signal.unit,
        low=max(lows),
        high=min(highs),
        rate_per_second=min(ceiling.rate_per_second, active.rate_per_second),
        approval_threshold=min(ceiling.approval_threshold, active.approval_threshold),
    )


def _faults(where: str, signals: Mapping[str, Signal], entries: Sequence[Limits]) -> list[str]:
    faults: list[str] = []
    seen: set[str] = set()
    for limits in entries:
        found = _number_faults(limits)
        if limits.signal in seen:
            found.append("named twice")
        seen.add(limits.signal)
        signal = signals.get(limits.signal)
        if signal is not None:
            found += _signal_faults(signal, limits)
        faults += [f"{where}: {limits.signal}: {fault}" for fault in found]
    return faults


def _signal_faults(signal: Signal, limits: Limits) -> list[str]:
    faults = []
    if limits.unit != signal.unit:
        faults.append(f"the unit must be {signal.unit!r} like the signal's, got {limits.unit!r}")
    if any(bound is not None and not math.isfinite(bound) for bound in (signal.low, signal.high)):
        faults.append(f"the signal's range must be finite, got {signal.low}..{signal.high}")
    return faults


def _number_faults(limits: Limits) -> list[str]:
    numbers = (limits.low, limits.high, limits.rate_per_second, limits.approval_threshold)
    if not all(math.isfinite(number) for number in numbers):
        return [f"low, high, rate and approval threshold must be finite, got {numbers}"]
    faults = []
    if limits.low >= limits.high:
        faults.append(f"low must be below high, got low {limits.low} and high {limits.high}")
    if limits.rate_per_second <= 0:
        faults.append(f"the rate must be above 0, got {limits.rate_per_second} per second")
    if limits.approval_threshold <= 0:
        faults.append(f"the approval threshold must be above 0, got {limits.approval_threshold}")
    return faults
