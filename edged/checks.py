"""Checks across the sections of one line: names, references, units and limits must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from edged import units
from edged.draft import Draft, Part
from edged.faults import Faults, Origin, Where, did_you_mean, got
from edged.loop_kpi import loop_kpi_signals
from edged.settings import AlarmSettings, Condition, ControlSettings, LimitSettings, LoopSettings, SignalSettings
from edged.types import ValueType

M = TypeVar("M", bound=BaseModel)

CREDIT_CAP_SECONDS = 60.0
"""Rate credit never grows beyond this, however slow the loop."""
CREDIT_CAP_PERIODS = 2
"""Nor beyond so many control periods."""

NUMERIC = frozenset({ValueType.FLOAT, ValueType.INT})
GRADE_TYPES = frozenset({ValueType.STRING, ValueType.INT})


@dataclass(frozen=True, slots=True)
class Declared:
    """A name that the line declares; `settings` is None when the declaration itself has faults."""

    origin: Origin
    where: Where
    settings: SignalSettings | None
    output: bool = False


class LineChecks:
    """Runs every check over one draft; faults and warnings are collected, nothing is raised."""

    def __init__(self, draft: Draft, faults: Faults, ceiling: Sequence[LimitSettings] | None = None) -> None:
        self._draft = draft
        self._faults = faults
        self._ceiling = {limit.signal: limit for limit in ceiling or ()}
        self._ceiling_known = ceiling is not None
        self._limits = {part.value.signal: part.value for part in draft.limits}
        self._declared: dict[str, Declared] = {}
        self.warnings: list[str] = []

    def run(self) -> None:
        """Every check, declarations first."""
        self._declare()
        self._unique("alarm", self._draft.alarms, lambda alarm: alarm.name, "name")
        self._unique("model", self._draft.models, lambda model: model.name, "name")
        self._unique("loop", self._draft.loops, lambda loop: loop.name, "name")
        self._unique("loop output", self._draft.loops, lambda loop: loop.output, "output")
        self._unique("loop heartbeat", self._draft.loops, lambda loop: loop.heartbeat or "", "heartbeat")
        self._unique("limits of", self._draft.limits, lambda limit: limit.signal, "signal")
        for alarm in self._draft.alarms:
            self._check_alarm(alarm)
        for limit in self._draft.limits:
            self._check_limit(limit)
        for loop in self._draft.loops:
            self._check_loop(loop)
        control = self._draft.control
        if control is not None and control.value.rollback is not None:
            self._check_defect_rate(control, control.value.rollback.defect_rate)
        if control is not None:
            self._check_line_state(control)
        hub = self._draft.hub
        if hub is not None and hub.value.commands and not self._draft.loops:
            self._warn(hub, "hub.commands has no use: no loop of this line would carry a command out")

    def _declare(self) -> None:
        for source in self._draft.sources:
            for signal in source.signals:
                self._add(signal.name, Declared(signal.origin, (*signal.where, "name"), signal.settings))
                if signal.settings is not None:
                    self._check_signal(signal.origin, signal.where, signal.settings)
        for model in self._draft.models:
            settings = output_signal(model.value.output)
            self._add(model.value.output, Declared(model.origin, (*model.where, "output"), settings, output=True))
        control = self._draft.control
        for figure in loop_kpi_signals(control.value) if control else ():
            assert control is not None
            self._add(figure.name, Declared(control.origin, (*control.where, "kpis"), figure, output=True))

    def _add(self, name: str, declared: Declared) -> None:
        first = self._declared.setdefault(name, declared)
        if name and first is not declared:
            place = f"{first.origin.file}:{first.origin.line(first.where)}"
            text = f"duplicate signal name, {got(name)}, first at {place}"
            self._faults.add(declared.origin, declared.where, text)

    def _unique(self, what: str, parts: Iterable[Part[M]], key: Callable[[M], str], field: str) -> None:
        first: dict[str, int] = {}
        for part in parts:
            name, line = key(part.value), part.origin.line(part.where)
            if name and name in first:
                self._fault(part, field, f"duplicate {what}, {got(name)}, first on line {first[name]}")
            first.setdefault(name, line)

    def _check_signal(self, origin: Origin, where: Where, signal: SignalSettings) -> None:
        self._check_unit(origin, (*where, "unit"), signal.unit)
        if signal.type in NUMERIC:
            return
        for field in ("low", "high", "deadband"):
            if getattr(signal, field):
                text = f"only numbers have a {field}, got {getattr(signal, field)} for a {signal.type.value} signal"
                self._faults.add(origin, (*where, field), text)

    def _check_unit(self, origin: Origin, where: Where, unit: str) -> None:
        if not units.known(unit) and not self._faults.at(origin, where):
            meant = units.suggest(unit)
            hint = f", did you mean {meant!r}?" if meant else " (docs/glossary.md lists the units)"
            self._faults.add(origin, where, f"unknown unit, {got(unit)}{hint}")

    def _check_alarm(self, part: Part[AlarmSettings]) -> None:
        alarm = part.value
        signal = self._signal(part, "signal", alarm.signal)
        if signal is None:
            return
        if signal.type is ValueType.STRING:
            self._fault(part, "signal", f"an alarm needs a number, {got(alarm.signal)}, which is a string signal")
        unreachable_high = alarm.above is not None and signal.high is not None and alarm.above >= signal.high
        unreachable_low = alarm.below is not None and signal.low is not None and alarm.below <= signal.low
        if unreachable_high or unreachable_low:
            self._warn(part, f"alarm {alarm.name} lies outside the range of {alarm.signal} and may never be raised")

    def _check_limit(self, part: Part[LimitSettings]) -> None:
        limit = part.value
        self._check_unit(part.origin, (*part.where, "unit"), limit.unit)
        signal = self._numeric(part, "signal", limit.signal)
        if signal is None:
            return
        self._same_unit(part, "unit", limit.unit, limit.signal, signal.unit)
        if not signal.writable:
            self._warn(part, f"limits for {limit.signal}, which is not writable, have no use")
        if narrowed(limit, signal) is None:
            text = f"nothing is left of {limit.low}..{limit.high} within the range of {limit.signal}"
            self._fault(part, "low", f"{text}, got {signal.low}..{signal.high} there")
        self._check_against_ceiling(part)

    def _check_against_ceiling(self, part: Part[LimitSettings]) -> None:
        """What the ceiling does not name, or leaves no room for, could never be written."""
        limit, ceiling = part.value, self._ceiling.get(part.value.signal)
        if ceiling is None:
            if self._ceiling_known:
                self._fault(
                    part, "signal", f"the ceiling does not name it, so it could not be written, got {limit.signal!r}"
                )
            return
        if ceiling.unit != limit.unit:
            self._fault(part, "unit", f"the ceiling says {ceiling.unit!r}, got {limit.unit!r}")
        elif not max(limit.low, ceiling.low) < min(limit.high, ceiling.high):
            text = f"nothing is left of {limit.low}..{limit.high} within the ceiling"
            self._fault(part, "low", f"{text}, got {ceiling.low}..{ceiling.high} there")

    def _check_loop(self, part: Part[LoopSettings]) -> None:
        loop = part.value
        process_value = self._numeric(part, "process_value", loop.process_value)
        if process_value is not None and not _within(loop.set_point, process_value):
            span = f"{process_value.low}..{process_value.high}"
            self._fault(part, "set_point", f"outside the range {span} of {loop.process_value}, got {loop.set_point}")
        self._check_grades(part, process_value)
        self._check_output(part)
        if not loop.permissives and self._draft.control is not None and not self._draft.control.value.advisory:
            text = "at least one is needed where control is not advisory: that the PLC is in remote mode"
            self._fault(part, "permissives", text)
        for position, condition in enumerate(loop.permissives):
            self._check_condition(part, condition, "permissives", position, "signal")
        if loop.running is not None:
            self._check_condition(part, loop.running, "running", "signal")
        if loop.heartbeat is not None:
            self._check_heartbeat(part, loop.heartbeat)

    def _check_defect_rate(self, part: Part[ControlSettings], name: str) -> None:
        field = ("rollback", "defect_rate")
        signal = self._numeric(part, field, name)
        if signal is not None:
            self._same_unit(part, field, signal.unit, "a defect rate", "%")

    def _check_grades(self, part: Part[LoopSettings], process_value: SignalSettings | None) -> None:
        loop, control = part.value, self._draft.control
        for grade, set_point in loop.grades.items():
            if process_value is not None and not _within(set_point, process_value):
                span = f"{process_value.low}..{process_value.high}"
                self._fault(
                    part, ("grades", grade), f"outside the range {span} of {loop.process_value}, got {set_point}"
                )
        if loop.grades and control is not None and control.value.line_state.grade is None:
            self._warn(part, f"the grades of {loop.name} have no use: control.line_state names no grade")

    def _check_line_state(self, part: Part[ControlSettings]) -> None:
        state = part.value.line_state
        for field, condition in (("running", state.running), ("changeover", state.changeover)):
            if condition is not None:
                self._check_condition(part, condition, "line_state", field, "signal")
        signal = None if state.grade is None else self._signal(part, ("line_state", "grade"), state.grade)
        if signal is not None and signal.type not in GRADE_TYPES:
            text = f"a grade is text or a whole number, {got(state.grade)}, which is a {signal.type.value} signal"
            self._fault(part, ("line_state", "grade"), text)

    def _check_output(self, part: Part[LoopSettings]) -> None:
        loop = part.value
        output = self._numeric(part, "output", loop.output)
        readback = self._numeric(part, "readback", loop.readback)
        if output is not None and readback is not None:
            self._same_unit(part, "readback", readback.unit, loop.output, output.unit)
        if output is not None:
            self._writable(part, "output", loop.output, output)
            if loop.output not in self._limits and not self._limits_are_faulty(loop.output):
                self._fault(part, "output", f"has no limits under control.limits, {got(loop.output)}")
        self._check_moves(part)

    def _check_moves(self, part: Part[LoopSettings]) -> None:
        """A deadband or tolerance at or above the move that the rate allows would freeze or blind the loop."""
        loop = part.value
        limits = [found[loop.output] for found in (self._limits, self._ceiling) if loop.output in found]
        if not limits:
            return
        rate = min(limit.per_second() for limit in limits)
        credit = min(CREDIT_CAP_SECONDS, CREDIT_CAP_PERIODS * loop.period_seconds)
        text = f"must be below {rate * credit:.6g}, the move that the rate limit allows in {credit:g} s"
        if loop.output_deadband >= rate * credit:
            self._fault(part, "output_deadband", f"{text}, else the loop never moves, got {loop.output_deadband:g}")
        if loop.readback_tolerance >= rate * credit:
            self._fault(
                part, "readback_tolerance", f"{text}, else no move is verified, got {loop.readback_tolerance:g}"
            )

    def _check_condition(self, part: Part[M], condition: Condition, *field: str | int) -> None:
        signal = self._signal(part, field, condition.signal)
        if signal is not None and signal.type is not ValueType.BOOL:
            text = f"a condition needs a bool signal, {got(condition.signal)}, which is {signal.type.value}"
            self._fault(part, field, text)

    def _check_heartbeat(self, part: Part[LoopSettings], name: str) -> None:
        signal = self._signal(part, "heartbeat", name)
        if signal is None:
            return
        if signal.type is not ValueType.INT:
            self._fault(part, "heartbeat", f"needs an int signal, {got(name)}, which is {signal.type.value}")
        if name in self._limits:
            self._fault(part, "heartbeat", f"has limits under control.limits, so it is no heartbeat, {got(name)}")
        self._writable(part, "heartbeat", name, signal)

    def _writable(self, part: Part[LoopSettings], field: str, name: str, signal: SignalSettings) -> None:
        declared = self._declared[name]
        if declared.output:
            self._fault(part, field, f"needs a signal of a source, {got(name)}, which is the output of a model")
        elif not signal.writable:
            line = f"{declared.origin.file}:{declared.origin.line(declared.where)}"
            self._fault(part, field, f"needs a writable signal, {got(name)}; set writable: true at {line}")

    def _numeric(self, part: Part[M], field: str | tuple[str | int, ...], name: str) -> SignalSettings | None:
        signal = self._signal(part, field, name)
        if signal is None or signal.type in NUMERIC:
            return signal
        self._fault(part, field, f"needs a number, {got(name)}, which is a {signal.type.value} signal")
        return None

    def _signal(self, part: Part[M], field: str | tuple[str | int, ...], name: str) -> SignalSettings | None:
        if name not in self._declared:
            self._fault(part, field, f"unknown signal, {got(name)}{did_you_mean(name, self._declared)}")
            return None
        return self._declared[name].settings

    def _same_unit(
        self, part: Part[M], field: str | tuple[str | int, ...], unit: str, name: str, expected: str
    ) -> None:
        if unit != expected and units.known(unit):
            why = "convert the numbers" if units.same_quantity(unit, expected) else "these are different quantities"
            self._fault(part, field, f"must be in {expected!r}, the unit of {name}, got {unit!r}: {why}")

    def _limits_are_faulty(self, name: str) -> bool:
        entries = self._draft.document.entries("control", "limits")
        return any(isinstance(raw, dict) and raw.get("signal") == name for _, raw in entries)

    def _fault(self, part: Part[M], field: str | tuple[str | int, ...], text: str) -> None:
        where = (*part.where, *((field,) if isinstance(field, str) else field))
        if not self._faults.at(part.origin, where):
            self._faults.add(part.origin, where, text)

    def _warn(self, part: Part[M], text: str) -> None:
        self.warnings.append(f"{part.origin.file}:{part.origin.line(part.where)}: {text}")


def output_signal(name: str) -> SignalSettings:
    """The signal that carries a model's probability."""
    return SignalSettings(name=name, unit="1", low=0.0, high=1.0)


def narrowed(limit: LimitSettings, signal: SignalSettings) -> tuple[float, float] | None:
    """The limits within the signal's range, or None when they do not meet."""
    low = limit.low if signal.low is None else max(limit.low, signal.low)
    high = limit.high if signal.high is None else min(limit.high, signal.high)
    return (low, high) if low < high else None


def _within(value: float, signal: SignalSettings) -> bool:
    return (signal.low is None or value >= signal.low) and (signal.high is None or value <= signal.high)
