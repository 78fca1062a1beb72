"""Two loops under one MPC: whatever happens to either, no command of either leaves its envelope (CARD4)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from edged_control.gate import Mode
from tests.unit.control.envelope_oracle import Envelope, EnvelopeOracle
from tests.unit.control.inline_solver import BAD_ANSWERS
from tests.unit.control.pair_rig import NAMES, PairRig
from tests.unit.control.rig import with_loop
from tests.unit.control.simulated_plc import BELT, PERMISSIVE, REMOTE, RUNNING, THICKNESS, Override, WriteFault
from tests.unit.control.test_envelope import FROZEN_MOVE, FROZEN_SECONDS, MEMORY_DISK, bad_values, overrides, qualities

EXAMPLES, RULES, COMMANDS = 40, 8, 8
START_BELT = 150.0
"""A small search beside that over a single loop: what is below the rung is the same code."""

loops = st.sampled_from(NAMES)
readbacks = st.builds(Override, bad_values | st.floats(40.0, 210.0), qualities)
commands: st.SearchStrategy[tuple[str, str, Any]] = st.one_of(
    *[st.tuples(st.just("step"), loops, st.integers(1, 8)) for _ in range(3)],
    st.tuples(st.just("alone"), loops, st.integers(1, 3)),
    st.tuples(st.just("product"), loops, st.floats(450.0, 800.0)),
    st.tuples(st.just("override"), loops, st.tuples(st.just(THICKNESS), overrides)),
    st.tuples(st.just("override"), loops, st.tuples(st.just(BELT), readbacks)),
    st.tuples(st.just("override"), loops, st.tuples(st.sampled_from([REMOTE, PERMISSIVE, RUNNING]), overrides)),
    st.tuples(st.just("heal"), loops, st.none()),
    st.tuples(st.just("heal"), loops, st.none()),
    st.tuples(st.just("solver"), loops, st.sampled_from([None, None, *BAD_ANSWERS])),
    st.tuples(st.just("write fault"), loops, st.sampled_from(WriteFault)),
    st.tuples(st.just("offline"), loops, st.booleans()),
    st.tuples(st.just("operate"), loops, st.floats(30.0, 210.0)),
    st.tuples(st.just("reboot"), loops, st.none()),
    st.tuples(st.just("request"), loops, st.sampled_from([Mode.MANUAL, Mode.AUTOMATIC, Mode.AUTOMATIC])),
    st.tuples(st.just("stop"), loops, st.sampled_from([0.5, 30.0, 300.0])),
    st.tuples(st.just("restart"), loops, st.none()),
)


def _override(rig: PairRig, name: str, change: tuple[str, Override]) -> None:
    rig.plc(name).overrides.update([change])


def _produce(rig: PairRig, name: str, product: float) -> None:
    rig.first.product = rig.product = product
    del name


def _spoil(rig: PairRig, _: str, how: str | None) -> None:
    rig.solver.spoil = None if how is None else BAD_ANSWERS[how]


def _request(rig: PairRig, name: str, target: Mode) -> None:
    if rig.control.request_mode(name, target, "anna") is None:
        rig.plc(name).note_handover()


DOINGS: dict[str, Callable[[PairRig, str, Any], object]] = {
    "override": _override,
    "product": _produce,
    "solver": _spoil,
    "request": _request,
    "write fault": lambda rig, name, fault: rig.plc(name).write_faults.append(fault),
    "offline": lambda rig, name, offline: setattr(rig.plc(name), "offline", offline),
    "operate": lambda rig, name, value: rig.plc(name).operate(value),
    "reboot": lambda rig, name, _: rig.plc(name).reboot(),
    "stop": lambda rig, _, seconds: rig.advance(seconds),
    "restart": lambda rig, _, __: rig.restart(),
}


class PairPlant(RuleBasedStateMachine):
    """Both plants, their daemons and everybody who interferes; each PLC's journal has a judge of its own."""

    @initialize(threshold=st.sampled_from([5.0, 50.0]))
    def begin(self, threshold: float) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
        self.runner = asyncio.Runner()
        self.rig = PairRig(Path(self.folder.name), with_loop(frozen_seconds=FROZEN_SECONDS), threshold)
        envelope = Envelope(approval_threshold=threshold, frozen_seconds=FROZEN_SECONDS, frozen_move=FROZEN_MOVE)
        self.oracles = {name: EnvelopeOracle(START_BELT, envelope) for name in NAMES}
        self.step(4)

    @rule(drawn=st.lists(commands, min_size=COMMANDS, max_size=COMMANDS))
    def interfere(self, drawn: list[tuple[str, str, Any]]) -> None:
        for doing, name, argument in drawn:
            self.do(doing, name, argument)
        for name in NAMES:
            self.oracles[name].check(self.rig.plc(name).journal)

    def do(self, doing: str, name: str, argument: Any) -> None:
        if doing in ("step", "alone"):
            self.step(argument, NAMES if doing == "step" else (name,))
        elif doing == "heal":
            self.heal()
        else:
            DOINGS[doing](self.rig, name, argument)

    def step(self, cycles: int, names: Sequence[str] = NAMES) -> None:
        self.runner.run(self.rig.step(cycles, names))

    def heal(self) -> None:
        for name in NAMES:
            plc = self.rig.plc(name)
            plc.overrides.clear()
            plc.write_faults.clear()
            plc.offline = False
        self.step(4)

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.rig.control.close()
            self.runner.close()
            self.folder.cleanup()


TestPairPlant = pytest.mark.timeout(300)(PairPlant.TestCase)
TestPairPlant.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=RULES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
