"""The contenders of `python -m bench pcgym-cstr` on the reactor's own equations; the benchmark asks pc-gym itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench.contestant import PeerMissing
from bench.pcgym_contenders import COOLANT, AdaptiveMpc, LinearMpc, identified
from bench.pcgym_cstr import EARLIER, STORED_IAE, TASK, TOLD, contenders, judged, played
from bench.pcgym_plant import REQUIREMENTS, ReferencePlant, Task
from bench.pcgym_reactor import Observer, State, advanced, standing_temperature


class Reactor:
    """The equations, from the state that no contender is told."""

    def __init__(self) -> None:
        self.state = State(*TASK.start)

    def reset(self, task: Task) -> float:
        self.state = State(*task.start)
        return self.state.concentration

    def step(self, coolant: float) -> float:
        self.state = advanced(self.state, coolant, TASK.period_minutes)
        return self.state.concentration


def test_the_equations_stand_still_where_they_should() -> None:
    """Hedengren's operating point: 0.87725 mol/l and 324.475 K at 300 K of coolant."""
    state = State(0.87725, 324.475)
    assert advanced(state, 300.0, 1.0) == pytest.approx(state, rel=1e-4)
    assert standing_temperature(0.87725) == pytest.approx(324.475, abs=0.01)


def test_the_observer_learns_the_temperature_from_the_concentration() -> None:
    reactor, observer = Reactor(), Observer(TASK.period_minutes)
    seen, coolant = reactor.reset(TASK), 300.0
    assert abs(observer.follow(seen, coolant).temperature - reactor.state.temperature) > 1.0
    for k in range(10):
        coolant = 297.0 + k % 5
        found = observer.follow(reactor.step(coolant), coolant)
    assert found.temperature == pytest.approx(reactor.state.temperature, abs=0.05)


def test_the_adaptive_one_comes_close_to_the_oracle_from_the_concentration_alone() -> None:
    late = played(Reactor(), AdaptiveMpc(TASK), TOLD["late"])
    assert late.absolute < 1.02 * STORED_IAE
    assert played(Reactor(), AdaptiveMpc(TASK), TOLD["in time"]).absolute < 0.75 * STORED_IAE


def test_one_identified_model_does_worse_but_keeps_the_limits() -> None:
    artefact = identified(Reactor(), TASK).artefact
    assert artefact is not None
    assert artefact.model.inputs == (COOLANT,)
    outcome = played(Reactor(), LinearMpc(TASK, artefact.model), TOLD["late"])
    assert outcome.absolute < 1.5 * STORED_IAE
    assert set(contenders(Reactor())) == {"MPC, linearised along its plan", "MPC, one identified model"}


def test_errors_are_those_of_the_step_that_led_there() -> None:
    assert judged(TASK.set_points).absolute == 0.0
    assert judged([0.85] * 60).absolute == pytest.approx(20 * 0.05 + 20 * 0.02)
    assert judged([0.85] * 60).squared == pytest.approx(20 * 0.05**2 + 20 * 0.02**2)


def test_the_oracle_is_given_its_set_points_in_time_by_their_order() -> None:
    """pc-gym's oracle takes number n - 1 at step n, and the last of all at the first; the plant adds the last again."""
    given = [*EARLIER.set_points, EARLIER.set_points[-1]]
    assert tuple(given[n - 1] for n in range(len(TASK.set_points))) == TASK.set_points


def test_the_environment_is_pinned_and_names_no_host() -> None:
    text = REQUIREMENTS.read_text(encoding="utf-8")
    assert re.search(r"^pcgym==0\.1\.8 \\\n +--hash=sha256:", text, re.MULTILINE)
    pins = re.findall(r"^[a-z].*==", text, re.MULTILINE)
    assert len(re.findall(r"^[a-z].*\\\n +--hash=", text, re.MULTILINE)) == len(pins) > 20
    assert "http" not in text
    assert "torch" not in text


def test_an_environment_that_lacks_pc_gym_is_told_with_its_words(tmp_path: Path) -> None:
    with ReferencePlant(Path(sys.executable), tmp_path) as plant, pytest.raises(PeerMissing, match="pcgym"):
        plant.reset(TASK)
