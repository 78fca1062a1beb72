"""No sequence of faults, people and restarts makes a command leave the envelope: judged by the PLC's own journal."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edged.ports import Outcome
from edged.types import Limits, Quality, Refused, Waits
from edged_control.gate import Mode
from tests.unit.control.envelope_oracle import Envelope, EnvelopeOracle
from tests.unit.control.inline_solver import BAD_ANSWERS, GAIN, InlineSolver, artefact, mpc_loop, solver_factory
from tests.unit.control.rig import GRADES, LINE_STATE, RATE_PER_SECOND, Rig, narrower, with_loop
from tests.unit.control.simulated_plc import (
    BELT,
    CHANGEOVER,
    GRADE,
    LINE,
    PERMISSIVE,
    REMOTE,
    RUNNING,
    THICKNESS,
    Override,
    WriteFault,
)

COMMANDS_PER_RULE, LONG_COMMANDS_PER_RULE = 10, 50
RULES_PER_EXAMPLE = 10
EXAMPLES, LONG_EXAMPLES = 400, 2_000
"""400 examples of 100 commands with every run; 2,000 of 500, a million commands, by `pytest -m long`."""
SECONDS, LONG_SECONDS = 600, 7_200
CEILING = Limits(BELT, 40.0, 200.0, 0.6, 80.0, "m/min")
FROZEN_SECONDS, FROZEN_MOVE = 20.0, 0.8
"""As the loop is set, and the half percent of the belt's widest range by which an output counts as moved."""
MEMORY_DISK = Path("/dev/shm")

bad_values: st.SearchStrategy[Any] = st.sampled_from(
    [math.nan, math.inf, -math.inf, None, 1e30, -1e30, 0.0, 20.0, 25.0, True, "text"]
)
qualities = st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD])
shifts = st.sampled_from([0, 0, -3_600_000_000_000, 3_600_000_000_000, -1])
overrides = st.builds(Override, bad_values | st.floats(3.0, 5.0), qualities, shifts)

consents = st.tuples(st.floats(40.0, 210.0), st.sampled_from([0.0, 2.0, 20.0]), st.sampled_from([3.0, 60.0, 3600.0]))

pushes = st.tuples(
    st.sampled_from([30.0, 50.0, 50.0, 80.0, 120.0]) | st.floats(20.0, 124.0),
    st.sampled_from([200.0, 200.0, 180.0, 155.0]) | st.floats(125.0, 220.0),
    st.sampled_from([RATE_PER_SECOND, RATE_PER_SECOND, 0.1, 0.5, 1.0, 0.01]),
    st.sampled_from([5.0, 50.0, 50.0, 20.0, 1.0, 100.0]),
    st.booleans(),
)
"""Low, high, rate, approval threshold, and whether it is signed; most of them are somewhere wider, some freeze."""

squeezes = st.tuples(
    st.sampled_from([0.0, 0.0, 5.0]),
    st.sampled_from([0.0, 0.0, 5.0]),
    st.sampled_from([1.0, 0.8, 0.5]),
    st.sampled_from([1.0, 0.8, 0.2]),
)
"""By how much low rises and high falls, and what is left of rate and approval threshold."""

commands: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("step"), st.integers(4, 12)),
    st.tuples(st.just("product"), st.floats(400.0, 900.0)),
    st.tuples(st.just("thickness"), overrides),
    st.tuples(st.just("readback"), st.builds(Override, bad_values | st.floats(40.0, 210.0), qualities, shifts)),
    st.tuples(
        st.just("permissive"), st.tuples(st.sampled_from([REMOTE, PERMISSIVE, RUNNING, CHANGEOVER, GRADE]), overrides)
    ),
    st.tuples(st.just("heal"), st.none()),
    st.tuples(st.just("heal"), st.none()),
    st.tuples(st.just("changeover"), st.booleans()),
    st.tuples(st.just("grade"), st.sampled_from([*GRADES, "unheard-of"])),
    st.tuples(st.just("freeze"), st.floats(3.0, 5.0)),
    st.tuples(st.just("solver"), st.sampled_from([None, None, *BAD_ANSWERS])),
    st.tuples(st.just("write fault"), st.sampled_from(WriteFault)),
    st.tuples(st.just("dark after write"), st.none()),
    st.tuples(st.just("clamp"), st.floats(100.0, 220.0)),
    st.tuples(st.just("offline"), st.booleans()),
    st.tuples(st.just("operate"), st.floats(30.0, 210.0)),
    st.tuples(st.just("nudge"), st.floats(-5.0, 5.0)),
    st.tuples(st.just("operate while deciding"), st.floats(-5.0, 5.0)),
    st.tuples(st.just("reboot"), st.none()),
    st.tuples(st.just("request"), st.sampled_from([Mode.MANUAL, Mode.AUTOMATIC, Mode.AUTOMATIC])),
    st.tuples(st.just("wish"), st.one_of(bad_values, st.floats(), st.floats(140.0, 170.0))),
    st.tuples(st.just("approve"), consents),
    st.tuples(st.just("push"), pushes),
    st.tuples(st.just("squeeze"), squeezes),
    st.tuples(st.just("push at a wait"), st.tuples(pushes, st.integers(1, 12), st.booleans())),
    st.tuples(st.just("widen before a walk"), st.floats(-3.0, 3.0)),
    st.tuples(st.just("squeeze and resume"), squeezes),
    st.tuples(st.just("wall clock"), st.sampled_from([-86_400.0, 86_400.0])),
    st.tuples(st.just("stop"), st.sampled_from([0.5, 30.0, 300.0])),
    st.tuples(st.just("slow commit"), st.sampled_from([0.3, 0.9, 1.5, 30.0])),
    st.tuples(st.just("full disk"), st.booleans()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("die"), st.tuples(st.integers(1, 12), st.booleans())),
    st.tuples(st.just("second daemon"), st.integers(1, 4)),
)


def _operate_while_deciding(rig: Rig, move: float) -> None:
    rig.road.on_record = lambda: rig.plc.operate(rig.plc.belt + move)
    rig.step()
    rig.road.on_record = None


def _commit_slowly(rig: Rig, seconds: float) -> None:
    rig.road.commit_seconds = seconds
    rig.step()
    rig.road.commit_seconds = 0.005


def _die(rig: Rig, when: tuple[int, bool]) -> None:
    rig.interruption.arm(when[0], late=when[1])
    if rig.step_until_death(4):
        rig.restart()
    rig.interruption.disarm()


def _wish(rig: Rig, value: Any) -> None:
    verdict = rig.wish(value)
    if isinstance(verdict, Waits) or not isinstance(verdict, Refused):
        rig.plc.note_handover(walking=True)


def _approve(rig: Rig, consent: tuple[float, float, float]) -> None:
    value, span, seconds = consent
    rig.approve(value, seconds, span=span)


def _push(rig: Rig, drawn: tuple[float, float, float, float, bool]) -> None:
    """Where it is signed a person lets go of the loop first, else only what is tighter can be taken."""
    low, high, rate, threshold, signed = drawn
    if signed:
        rig.hand_over(Mode.MANUAL)
    limits = narrower(low=low, high=high, rate_per_second=rate, approval_threshold=threshold)
    if rig.push(limits, signed_for=LINE if signed else "").outcome is Outcome.ACCEPTED:
        rig.plc.note_limits(
            max(low, CEILING.low), min(high, CEILING.high), min(rate, CEILING.rate_per_second), min(threshold, 80.0)
        )


def _squeeze(rig: Rig, drawn: tuple[float, float, float, float]) -> None:
    rises, falls, rate, threshold = drawn
    (now,) = rig.control.limits()
    if now.low + rises < now.high - falls:
        tighter = (now.low + rises, now.high - falls, now.rate_per_second * rate, now.approval_threshold * threshold)
        _push(rig, (*tighter, False))


def _squeeze_and_resume(rig: Rig, drawn: tuple[float, float, float, float]) -> None:
    _squeeze(rig, drawn)
    rig.hand_over(Mode.AUTOMATIC)
    rig.step(4)


def _widen_before_a_walk(rig: Rig, way: float) -> None:
    """The rate to the ceiling's, and at once a wish: nothing of the time before may count."""
    (now,) = rig.control.limits()
    _push(rig, (now.low, now.high, CEILING.rate_per_second, now.approval_threshold, True))
    _wish(rig, rig.plc.belt + way)
    rig.step()


def _push_at_a_wait(rig: Rig, drawn: tuple[tuple[float, float, float, float, bool], int, bool]) -> None:
    """Not while a command is on its way: then the push waits, which only an event loop shows (test_live_limits)."""
    push, waits, late = drawn

    def happens() -> None:
        if rig.control._loops[rig.loop.name]._output.sending:
            rig.interruption.arm(1, late=late, happens=happens)
        else:
            _push(rig, push)

    rig.interruption.arm(waits, late=late, happens=happens)
    rig.step(2)
    rig.interruption.disarm()


def _heal(rig: Rig, _: None) -> None:
    rig.heal()
    rig.step(4)


def _spoil_solvers(rig: Rig, how: str | None) -> None:
    for solver in rig.solvers:
        solver.spoil = None if how is None else BAD_ANSWERS[how]


def _freeze(rig: Rig, thickness: float) -> None:
    rig.plc.overrides[THICKNESS] = Override(thickness)
    rig.step(30)


DOINGS: dict[str, Callable[[Rig, Any], object]] = {
    "step": Rig.step,
    "product": lambda rig, product: setattr(rig.plc, "product", product),
    "thickness": lambda rig, override: rig.plc.overrides.update({THICKNESS: override}),
    "readback": lambda rig, override: rig.plc.overrides.update({BELT: override}),
    "permissive": lambda rig, override: rig.plc.overrides.update([override]),
    "heal": _heal,
    "changeover": lambda rig, changes: setattr(rig.plc, "changeover", changes),
    "grade": lambda rig, grade: setattr(rig.plc, "grade", grade),
    "freeze": _freeze,
    "solver": _spoil_solvers,
    "write fault": lambda rig, fault: rig.plc.write_faults.append(fault),
    "dark after write": lambda rig, _: setattr(rig.plc, "go_dark_after_write", True),
    "clamp": lambda rig, high: setattr(rig.plc, "clamp_high", high),
    "offline": lambda rig, offline: setattr(rig.plc, "offline", offline),
    "operate": lambda rig, value: rig.plc.operate(value),
    "nudge": lambda rig, move: rig.plc.operate(rig.plc.belt + move),
    "operate while deciding": _operate_while_deciding,
    "reboot": lambda rig, _: rig.plc.reboot(),
    "request": Rig.hand_over,
    "wish": _wish,
    "approve": _approve,
    "push": _push,
    "squeeze": _squeeze,
    "squeeze and resume": _squeeze_and_resume,
    "widen before a walk": _widen_before_a_walk,
    "push at a wait": _push_at_a_wait,
    "wall clock": lambda rig, seconds: rig.clock.jump(seconds),
    "stop": lambda rig, seconds: rig.plc.advance(seconds),
    "slow commit": _commit_slowly,
    "full disk": lambda rig, full: setattr(rig.road, "full", full),
    "restart": lambda rig, _: rig.restart(),
    "die": _die,
    "second daemon": Rig.step_beside,
}


class Interference(RuleBasedStateMachine):
    """One plant, its daemons and everybody who interferes."""

    @initialize(
        belt=st.sampled_from([60.0, 120.0, 150.0, 195.0]),
        threshold=st.sampled_from([5.0, 50.0]),
        gain_factor=st.sampled_from([None, None, None, 1.0, -3.0]),
    )
    def begin(self, belt: float, threshold: float, gain_factor: float | None) -> None:
        """Where there is a gain factor the loop runs under MPC, whose model may be as wrong as that."""
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
        loop = with_loop(frozen_seconds=FROZEN_SECONDS, grades={GRADES[0]: 4.0, GRADES[1]: 4.2})
        model = None if gain_factor is None else artefact(gain_factor * GAIN)
        solvers: list[InlineSolver] = []
        self.rig = Rig(
            Path(self.folder.name),
            belt=belt,
            limits=(narrower(approval_threshold=threshold),),
            ceiling=(CEILING,),
            loop=loop if model is None else mpc_loop(loop, model),
            line_state=LINE_STATE,
            artefact=model,
            build_solver=solver_factory(solvers),
            solvers=solvers,
        )
        self.rig.plc.product = 4.0 * belt
        envelope = Envelope(
            approval_threshold=threshold, grades=GRADES, frozen_seconds=FROZEN_SECONDS, frozen_move=FROZEN_MOVE
        )
        self.oracle = EnvelopeOracle(belt, envelope)
        self.rig.step(4)

    def do(self, drawn: list[tuple[str, Any]]) -> None:
        for name, argument in drawn:
            DOINGS[name](self.rig, argument)
        self.oracle.check(self.rig.plc.journal)

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.rig.control.close()
            self.folder.cleanup()


class Plant(Interference):
    """A hundred commands an example."""

    @rule(drawn=st.lists(commands, min_size=COMMANDS_PER_RULE, max_size=COMMANDS_PER_RULE))
    def interfere(self, drawn: list[tuple[str, Any]]) -> None:
        self.do(drawn)


class LongPlant(Interference):
    """Five hundred commands an example; a rule draws many, or drawing would be all that it does."""

    @rule(drawn=st.lists(commands, min_size=LONG_COMMANDS_PER_RULE, max_size=LONG_COMMANDS_PER_RULE))
    def interfere(self, drawn: list[tuple[str, Any]]) -> None:
        self.do(drawn)


def _search(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=RULES_PER_EXAMPLE,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )


TestPlant = pytest.mark.timeout(SECONDS)(Plant.TestCase)
TestPlant.settings = _search(EXAMPLES)
TestLongPlant = pytest.mark.long(pytest.mark.timeout(LONG_SECONDS)(LongPlant.TestCase))
TestLongPlant.settings = _search(LONG_EXAMPLES)
