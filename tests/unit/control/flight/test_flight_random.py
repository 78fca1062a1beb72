"""Whatever happens to a line, its recorded flight replays without a difference, from its start and from key-frames."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edged.ports import Action, Order, Role
from edged.settings import RollbackSettings
from edged.types import Quality, Sample
from edged_control.gate import Mode
from tests.unit.control.inline_solver import BAD_ANSWERS, InlineSolver, artefact, mpc_loop, solver_factory
from tests.unit.control.recorded_rig import Sessions, replay_all, replay_from_key_frames
from tests.unit.control.rig import LINE_STATE, LOOP, Rig, finish, narrower
from tests.unit.control.simulated_plc import BELT, GRADE, LINE, REMOTE, THICKNESS, Override, WriteFault

ACTS, SEEDS = 120, 5
MEMORY_DISK = Path("/dev/shm")
DEFECTS = "line_a/inspection/defect_rate"
SPOILT_READS = (
    Override(None, Quality.BAD),
    Override(math.nan),
    Override(10**30),
    Override(4.0, Quality.UNCERTAIN),
    Override("text"),
    Override(4.1, source_time_shift=-60_000_000_000),
)


class Line:
    """One rig under MPC, and everything that can happen to it."""

    def __init__(self, folder: Path, seed: int, *, under_mpc: bool) -> None:
        self.random = Random(seed)
        self.sessions = Sessions()
        found = artefact()
        self.solvers: list[InlineSolver] = []
        changes: dict[str, Any] = {}
        if under_mpc:
            changes = {
                "loop": mpc_loop(LOOP, found),
                "artefact": found,
                "build_solver": solver_factory(self.solvers),
            }
        self.defects = 1.0
        self.rig = Rig(
            folder,
            flight=self.sessions.begin,
            line_state=LINE_STATE,
            rollback=RollbackSettings(defect_rate="inspection/defect_rate", fewest_readings=2, watch_seconds=600.0),
            latest=self._latest,
            **changes,
        )

    def _latest(self, path: str) -> Sample | None:
        now = self.rig.clock.now()
        return Sample(path, self.defects, now, now) if path == DEFECTS else None

    def run(self) -> None:
        """So many random things, with cycles in between."""
        rig, choose = self.rig, self.random
        acts = [getattr(self, name) for name in dir(self) if name.startswith("act_")]
        for _ in range(ACTS):
            try:
                choose.choice(acts)()
                rig.step(choose.randint(1, 4))
            except asyncio.CancelledError:
                rig.restart()
            self.sessions.shelves[-1].wants_key_frame = choose.random() < 0.1

    def order(self, action: Action, value: Any, role: Role = Role.ENGINEER) -> None:
        finish(self.rig.control.desk.act(Order(action, "thickness", value, "", "anna", role)))

    def act_step(self) -> None:
        self.rig.step(10)

    def act_disturb(self) -> None:
        self.rig.plc.product *= self.random.choice((0.9, 1.1))

    def act_operate(self) -> None:
        self.rig.plc.operate(self.random.uniform(100.0, 190.0))

    def act_spoil_a_read(self) -> None:
        signal = self.random.choice((THICKNESS, BELT, REMOTE, GRADE))
        self.rig.plc.overrides[signal] = self.random.choice(SPOILT_READS)

    def act_deny(self) -> None:
        self.rig.plc.permissive = not self.rig.plc.permissive

    def act_change_over(self) -> None:
        self.rig.plc.changeover = not self.rig.plc.changeover

    def act_fail_a_write(self) -> None:
        self.rig.plc.write_faults.append(self.random.choice(list(WriteFault)))

    def act_go_dark(self) -> None:
        self.rig.plc.go_dark_after_write = True

    def act_unplug(self) -> None:
        self.rig.plc.offline = True

    def act_fill_the_disk(self) -> None:
        self.rig.road.full = True

    def act_heal(self) -> None:
        self.rig.heal()
        self.rig.plc.permissive = True
        for solver in self.solvers:
            solver.spoil = None
        self.order(Action.MODE, "AUTO")

    act_heal_again = act_heal

    def act_jump(self) -> None:
        self.rig.clock.jump(self.random.choice((-86_400.0, -5.0, 5.0, 86_400.0)))

    def act_sleep(self) -> None:
        self.rig.plc.advance(30.0)

    def act_mode(self) -> None:
        self.order(Action.MODE, self.random.choice(("AUTO", "MAN", "OOS", "nonsense")))

    def act_request(self) -> None:
        self.rig.control.request_mode("thickness", self.random.choice((Mode.AUTOMATIC, Mode.MANUAL)), "anna")

    def act_set_point(self) -> None:
        self.order(Action.SET_POINT, self.random.choice((3.9, 4.0, 4.1, 99.0, math.nan, "much")))

    def act_output(self) -> None:
        self.order(Action.MODE, "MAN")
        self.order(Action.OUTPUT, self.random.uniform(60.0, 220.0))

    def act_wish(self) -> None:
        self.rig.wish(self.random.uniform(60.0, 220.0), source=self.random.choice(("hub", "sparkplug", "pid")))

    def act_approve(self) -> None:
        self.rig.approve(self.random.uniform(60.0, 190.0), self.random.choice((30.0, 3600.0)))

    def act_push_limits(self) -> None:
        high, rate = self.random.uniform(150.0, 200.0), self.random.choice((0.2, 20.0 / 60.0, 0.5))
        signed_for = self.random.choice(("", LINE, "line_b"))
        self.rig.push(narrower(high=high, rate_per_second=rate), signed_for=signed_for)

    def act_push_nonsense(self) -> None:
        self.rig.push_text(self.random.choice(("{}", "no.signature", '{"limits": []}')))

    def act_hand_in_nonsense(self) -> None:
        self.rig.hand_in("no approval")

    def act_override(self) -> None:
        self.order(Action.OVERRIDE, None)

    def act_roll_back(self) -> None:
        self.order(Action.ROLL_BACK, None)

    def act_look_at_defects(self) -> None:
        self.defects = self.random.uniform(0.5, 3.0)
        assert self.rig.control.rollback is not None
        for _ in range(3):
            self.rig.clock.tick(5.0)
            finish(self.rig.control.rollback.look())

    def act_spoil_an_answer(self) -> None:
        if self.solvers:
            self.solvers[-1].spoil = self.random.choice(list(BAD_ANSWERS.values()))

    def act_restart_the_solver(self) -> None:
        if self.solvers:
            self.solvers[-1].restart()

    def act_restart(self) -> None:
        self.rig.restart()

    def act_die(self) -> None:
        self.rig.interruption.arm(self.random.randint(1, 12), late=self.random.random() < 0.5)

    def act_order_within_a_cycle(self) -> None:
        """From a task of its own, while the cycle waits for its record or its write."""
        context = copy_context()

        def ask() -> None:
            self.rig.road.on_record = self.rig.plc.on_write = None
            context.run(self.rig.control.request_mode, "thickness", Mode.MANUAL, "anna")

        self.rig.road.on_record = self.rig.plc.on_write = ask


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Syncing to a disk would be most of the time."""
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("under_mpc", [False, True], ids=["pid", "mpc"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_replays(memory_folder: Path, seed: int, under_mpc: bool) -> None:
    """CARD4, GLS33: an incident can be replayed, whatever it was."""
    line = Line(memory_folder, seed, under_mpc=under_mpc)
    line.run()
    line.rig.control.close()
    report = replay_all(line.rig, line.sessions)
    assert report.differences == []
    assert report.cycles > ACTS
    assert report.decisions > 0
    starts, differences = replay_from_key_frames(line.rig, line.sessions)
    assert differences == []
    assert starts > 0
