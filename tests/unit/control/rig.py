"""A daemon's control on a simulated PLC, without an event loop: time moves where the test or a wait moves it."""

from __future__ import annotations

import asyncio
import math
from base64 import b64encode
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edged.clock import VirtualClock
from edged.controller_settings import PidSettings
from edged.errors import OutboxUnavailable
from edged.metrics import Metrics
from edged.ports import Action, Answer, Order, Outcome, Plant, Role
from edged.settings import (
    Condition,
    ControlSettings,
    LimitSettings,
    LineStateSettings,
    LoopSettings,
    RollbackSettings,
)
from edged.types import (
    NANOSECONDS_PER_SECOND,
    Decision,
    DecisionPhase,
    Event,
    Limits,
    Priority,
    Proposal,
    Refused,
    Sample,
    Seal,
    Signal,
    ValueType,
    WriteOutcome,
)
from edged_control.approval import Approval, signed
from edged_control.blueprint import Blueprint
from edged_control.executor import ControlExecutor, LoopStatus
from edged_control.flight.boundary import Flight
from edged_control.gate import Mode
from edged_control.ladder.controllers import SolverFactory
from edged_control.limits.push import Widening, signed_limits, unsigned_limits
from edged_control.process_model.linear import Artefact
from tests.unit.control.simulated_plc import (
    BELT,
    CHANGEOVER,
    GRADE,
    HEARTBEAT,
    LINE,
    PERMISSIVE,
    REMOTE,
    RUNNING,
    THICKNESS,
    Interruption,
    PlcClient,
    SimulatedPlc,
)

T = TypeVar("T")
PERIOD_SECONDS = 1.0
RATE_PER_SECOND = 20.0 / 60.0
BELT_LIMITS = Limits(BELT, 50.0, 200.0, RATE_PER_SECOND, 50.0, "m/min")
SIGNALS = {
    signal.path: signal
    for signal in (
        Signal(THICKNESS, "mm", low=0.0, high=20.0),
        Signal(BELT, "m/min", low=0.0, high=200.0, writable=True),
        Signal(HEARTBEAT, "1", ValueType.INT, writable=True),
        Signal(REMOTE, "1", ValueType.BOOL),
        Signal(PERMISSIVE, "1", ValueType.BOOL),
        Signal(RUNNING, "1", ValueType.BOOL),
        Signal(CHANGEOVER, "1", ValueType.BOOL),
        Signal(GRADE, "1", ValueType.STRING),
    )
}
LOOP = LoopSettings(
    name="thickness",
    process_value="forming/thickness",
    output="forming/belt_speed_setpoint",
    readback="forming/belt_speed_setpoint",
    set_point=4.0,
    period_seconds=PERIOD_SECONDS,
    readback_tolerance=0.01,
    output_deadband=0.15,
    good_cycles=3,
    frozen_seconds=1e9,
    permissives=(Condition(signal="forming/remote_mode"), Condition(signal="forming/permissive")),
    running=Condition(signal="forming/running"),
    heartbeat="forming/heartbeat",
    controller=PidSettings(gain=-6.0, integral_seconds=3.0, filter_seconds=2.0),
)

GRADES = ("clear", "tinted")
NO_LINE_STATE = LineStateSettings()
LINE_STATE = LineStateSettings(changeover=Condition(signal="forming/changeover"), grade="forming/grade")


class SteppingClock(VirtualClock):
    """Whoever sleeps moves the time, and with it the plant."""

    plc: SimulatedPlc

    async def sleep(self, seconds: float) -> None:
        self.plc.advance(max(seconds, 0.0))


class FakeRoad:
    """Keeps events; `full` refuses them. A commit takes a little time and can be where a daemon dies."""

    def __init__(self, clock: VirtualClock, interruption: Interruption) -> None:
        self._clock = clock
        self._interruption = interruption
        self.events: list[tuple[float, Event]] = []
        self.full = False
        self.commit_seconds = 0.005
        self.on_record: Callable[[], object] | None = None

    async def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> None:
        raise AssertionError("control publishes no samples")

    async def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> None:
        self._interruption.before()
        self._clock.tick(self.commit_seconds)
        if self.on_record is not None:
            self.on_record()
        if self.full:
            raise OutboxUnavailable("disk full")
        self.events += [(self._clock.monotonic(), event) for event in events]
        self._interruption.after()

    def last_seen(self, source: str) -> int | None:
        return None

    def marks(self, source: str) -> Sequence[bytes]:
        return ()

    def decisions(self, phase: DecisionPhase | None = None) -> list[Decision]:
        """What was decided, oldest first."""
        found = [event for _, event in self.events if isinstance(event, Decision)]
        return [decision for decision in found if phase is None or decision.phase is phase]

    def outcomes(self) -> list[WriteOutcome]:
        """What became of the decisions that were completed."""
        return [decision.outcome for decision in self.decisions(DecisionPhase.COMPLETED)]


class FakeAlarms:
    """Counts alarms raised and knows what stands."""

    def __init__(self) -> None:
        self.raised: list[tuple[str, str, str]] = []
        self.standing: dict[tuple[str, str], str] = {}

    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None:
        if (name, source) not in self.standing:
            self.raised.append((name, source, message))
        self.standing[name, source] = message

    def clear_alarm(self, name: str, source: str) -> None:
        self.standing.pop((name, source), None)

    def names(self) -> list[str]:
        """The alarms that were raised, oldest first."""
        return [name for name, _, _ in self.raised]


@dataclass
class Rig:
    """One plant and the daemons that come and go at it."""

    state_directory: Path
    loop: LoopSettings = LOOP
    advisory: bool = False
    belt: float = 150.0
    limits: Sequence[Limits] = (BELT_LIMITS,)
    ceiling: Sequence[Limits] | None = None
    config_hash: str = "0123456789abcdef"
    rollback: RollbackSettings | None = None
    latest: Callable[[str], Sample | None] = lambda _: None
    line_state: LineStateSettings = NO_LINE_STATE
    runtime_directory: Path | None = None
    artefact: Artefact | None = None
    build_solver: SolverFactory | None = None
    solvers: list[Any] = field(default_factory=list)
    flight: Callable[[VirtualClock], Flight] | None = None

    clock: VirtualClock = field(default_factory=SteppingClock)

    def __post_init__(self) -> None:
        self.seal = Seal()
        self.plc = SimulatedPlc(self.clock, self.seal, belt=self.belt)
        if isinstance(self.clock, SteppingClock):
            self.clock.plc = self.plc
        self.interruption = Interruption()
        self.road = FakeRoad(self.clock, self.interruption)
        self.alarms = FakeAlarms()
        self.metrics = Metrics()
        self.plant: Plant | None = None
        self.key = Ed25519PrivateKey.generate()
        self.trust(self.key)
        self._signed = 0
        self._born = 0
        self.control = self.build()

    def build(self) -> ControlExecutor:
        """A new daemon's control, under a name of its own in the PLC's journal."""
        self._born += 1
        return ControlExecutor(
            self.blueprint(),
            plant=self.plant or PlcClient(self.plc, f"daemon {self._born}", self.interruption),
            road=self.road,
            recorder_writable=lambda: not self.road.full,
            clock=self.clock,
            metrics=self.metrics,
            seal=self.seal,
            state_directory=self.state_directory,
            runtime_directory=self.runtime_directory or self.state_directory / "runtime",
            alarms=self.alarms,
            engineering_keys=self.state_directory / "engineers.pub",
            latest=lambda path: self.latest(path),
            build_solver=self.build_solver,
            flight=self.flight(self.clock) if self.flight else None,
        )

    def blueprint(self) -> Blueprint:
        """What control is built from."""
        ceiling = self.limits if self.ceiling is None else self.ceiling
        models = {} if self.artefact is None else {self.loop.name: self.artefact}
        return Blueprint(LINE, self.config_hash, self.settings(), SIGNALS, ceiling, self.limits, models)

    def settings(self) -> ControlSettings:
        """What the configuration says of control."""
        return ControlSettings(
            advisory=self.advisory,
            ceiling=Path("ceiling.yaml"),
            line_state=self.line_state,
            loops=(self.loop,),
            rollback=self.rollback,
        )

    def trust(self, key: Ed25519PrivateKey) -> None:
        """Approvals signed with this key are believed at the box, and no others."""
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        line = f"ed25519 {b64encode(raw).decode()} chris\n"
        (self.state_directory / "engineers.pub").write_text(line, encoding="utf-8")

    def approval(self, value: float, seconds: float = 3600.0, **changes: Any) -> Approval:
        """What an engineer would sign for the belt now."""
        self._signed += 1
        now = self.clock.now()
        fields = {"identity": f"{self._signed:032x}", "line": LINE, "signal": BELT, "unit": "m/min", "value": value}
        life = {"issued": now, "expires": now + round(seconds * NANOSECONDS_PER_SECOND)}
        return Approval.model_validate({**fields, **life, **changes})

    def approve(self, value: float, seconds: float = 3600.0, **changes: Any) -> Answer:
        """An operator hands over what an engineer has signed; the journal tells when it was taken."""
        approval = self.approval(value, seconds, **changes)
        answer = self.hand_in(signed(approval, self.key))
        if answer.outcome is Outcome.ACCEPTED:
            self.plc.note_approval(value, approval.span, seconds)
        return answer

    def hand_in(self, text: Any) -> Answer:
        """An operator hands over a text that should be an approval."""
        answer: Answer = finish(
            self.control.desk.act(Order(Action.APPROVE, self.loop.name, text, "", "anna", Role.OPERATOR))
        )
        return answer

    def push(self, limits: Limits, *, signed_for: str = "", **changes: Any) -> Answer:
        """An operator pushes limits of the belt, with an engineer's signature for the line that is named."""
        listed = (listed_limits(limits),)
        text = unsigned_limits(listed)
        if signed_for:
            consent = self.approval(0.0).model_dump(include={"identity", "issued", "expires"})
            widening = Widening.model_validate({**consent, "line": signed_for, "limits": listed, **changes})
            text = signed_limits(widening, self.key)
        return self.push_text(text)

    def push_text(self, text: str, reason: str = "new rollers", line: str = LINE) -> Answer:
        """An operator hands over a text that should be a push."""
        answer: Answer = finish(self.control.desk.act(Order(Action.LIMITS, line, text, reason, "anna", Role.OPERATOR)))
        return answer

    def restart(self) -> None:
        """The daemon dies, whatever it was doing, and a new one comes up."""
        self.control.close()
        self.alarms.standing.clear()
        self.control = self.build()

    def step(self, cycles: int = 1) -> None:
        """So many cycles at their period."""
        for _ in range(cycles):
            due = self.clock.monotonic() + PERIOD_SECONDS
            finish(self.control.step(self.loop.name))
            left = due - self.clock.monotonic()
            self.plc.advance(left if left > 0 else PERIOD_SECONDS)

    def step_until_death(self, cycles: int = 20) -> bool:
        """Cycles until the armed interruption ends the daemon; False when it did not come to that."""
        for _ in range(cycles):
            try:
                self.step()
            except asyncio.CancelledError:
                return True
        return False

    def step_beside(self, cycles: int) -> None:
        """A second daemon tries to control the same line, turn by turn with the first."""
        second = self.build()
        for _ in range(cycles):
            finish(second.step(self.loop.name))
            self.step()
        second.close()

    def heal(self) -> None:
        """Everything at the plant and on the box is well again."""
        plc = self.plc
        plc.overrides.clear()
        plc.write_faults.clear()
        plc.offline, plc.go_dark_after_write, plc.clamp_high = False, False, math.inf
        plc.changeover, plc.grade = False, GRADES[0]
        self.road.full = False

    def hand_over(self, target: Mode) -> Refused | None:
        """A person asks for a mode; the journal tells when it was granted."""
        refused = self.control.request_mode(self.loop.name, target, "anna")
        if refused is None:
            self.plc.note_handover()
        return refused

    def take_over(self) -> None:
        """A person puts the loop into MAN."""
        assert self.hand_over(Mode.MANUAL) is None
        self.step()

    def wish(self, value: float, source: str = "operator", signal: str = BELT, seconds: float = 60.0) -> Any:
        """Somebody outside wants the belt elsewhere."""
        expires = self.clock.monotonic() + seconds
        return finish(self.control.submit(Proposal(source, signal, value, 100, expires, identity="anna")))

    def mode(self) -> Mode:
        """The loop's actual mode."""
        return self.status.actual_mode

    @property
    def status(self) -> LoopStatus:
        """The loop's status."""
        return self.control.status()[0]

    def own_writes(self) -> list[float]:
        """Every value that a daemon sent, applied or not."""
        return [write.value for write in self.plc.writes if write.by.startswith("daemon")]


class MakeRig(Protocol):
    """Builds a rig that is closed at the end of the test."""

    def __call__(self, **changes: Any) -> Rig: ...


def with_loop(**changes: Any) -> LoopSettings:
    """The rig's loop with some settings changed."""
    return LOOP.model_validate({**LOOP.model_dump(), **changes})


def narrower(**changes: Any) -> Limits:
    """The rig's limits with some numbers changed."""
    return replace(BELT_LIMITS, **changes)


def listed_limits(limits: Limits) -> LimitSettings:
    """The limits as a file says them."""
    return LimitSettings(
        signal=limits.signal.removeprefix(f"{LINE}/"),
        unit=limits.unit,
        low=limits.low,
        high=limits.high,
        rate_per_second=limits.rate_per_second,
        approval_threshold=limits.approval_threshold,
    )


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine waits for something that the test does not simulate")
