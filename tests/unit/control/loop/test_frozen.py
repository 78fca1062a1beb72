"""A process value that stands still while its output moves is frozen; one that nobody moves may stand as it likes."""

from __future__ import annotations

from edged_control.gate import Mode
from edged_control.limits.envelope import EffectiveLimits
from edged_control.loop.frozen import PATIENCE_SECONDS, FrozenWatch, frozen_watch
from tests.unit.control.rig import LOOP, MakeRig, Rig, with_loop
from tests.unit.control.simulated_plc import BELT, THICKNESS, Override

PATIENCE, MOVE = 20.0, 0.5
LIMITS = EffectiveLimits(BELT, "m/min", 50.0, 200.0, 1 / 3, 50.0)


def feed(watch: FrozenWatch, value: float | None, present: float | None, since: float, until: float) -> bool:
    for second in range(round(since), round(until)):
        watch.note(value, present, float(second))
    return watch.frozen


def test_what_stands_while_nobody_moves_is_not_frozen() -> None:
    watch = FrozenWatch(PATIENCE, MOVE)
    assert not feed(watch, 4.0, 150.0, 0, 1000)
    assert not feed(watch, 4.0, 150.0 + MOVE, 1000, 2000), "a move as large as the noise of it is none"


def test_what_stands_after_a_move_is_frozen_when_the_patience_is_over() -> None:
    watch = FrozenWatch(PATIENCE, MOVE)
    watch.note(4.0, 150.0, 0.0)
    watch.note(4.0, 150.6, 1.0)
    watch.note(4.0, 150.6, 1.0 + PATIENCE - 0.01)
    assert not watch.frozen
    watch.note(4.0, 150.6, 1.0 + PATIENCE)
    assert watch.frozen
    assert feed(watch, 4.0, 150.0, 30, 40), "coming back to the old place does not thaw it"
    watch.note(4.000001, 150.0, 41.0)
    assert not watch.frozen


def test_every_change_starts_anew_from_where_the_output_is() -> None:
    watch = FrozenWatch(PATIENCE, MOVE)
    for second in range(200):
        watch.note(4.0 + second // 15 * 0.001, 150.0 + second, float(second))
        assert not watch.frozen


def test_values_that_are_not_good_tell_nothing() -> None:
    watch = FrozenWatch(PATIENCE, MOVE)
    watch.note(4.0, 150.0, 0.0)
    assert not feed(watch, None, 160.0, 1, 100)
    assert not feed(watch, 4.0, None, 100, 200)
    watch.note(4.0, 160.0, 200.0)
    assert not feed(watch, None, 160.0, 201, 400)
    assert feed(watch, 4.0, 160.0, 400, 401)


def test_the_watch_fits_its_loop() -> None:
    for changes, patience in (
        ({"frozen_seconds": 7.0}, 7.0),
        ({"frozen_seconds": None}, PATIENCE_SECONDS),
        ({"frozen_seconds": None, "period_seconds": 60.0}, 1800.0),
    ):
        watch = frozen_watch(with_loop(**changes), LIMITS)
        watch.note(4.0, 150.0, 0.0)
        watch.note(4.0, 150.74, 1.0)
        watch.note(4.0, 150.74, 1e6)
        assert not watch.frozen, "half a percent of 50..200 is 0.75"
        watch.note(4.0, 150.76, 0.0)
        watch.note(4.0, 150.76, patience - 0.01)
        assert not watch.frozen
        watch.note(4.0, 150.76, patience)
        assert watch.frozen
    wide = frozen_watch(with_loop(output_deadband=0.6, frozen_seconds=1.0), LIMITS)
    wide.note(4.0, 150.0, 0.0)
    wide.note(4.0, 151.1, 1.0)
    wide.note(4.0, 151.1, 100.0)
    assert not wide.frozen, "two deadbands"


def test_a_loop_whose_gauge_died_holds_and_goes_on_when_it_lives(make_rig: MakeRig) -> None:
    rig = make_rig(loop=with_loop(frozen_seconds=PATIENCE))
    rig.step(5)
    rig.plc.overrides[THICKNESS] = Override(4.4)
    rig.step(30)
    assert rig.mode() is Mode.MANUAL
    assert rig.status.reason == "freshness: the process value stands still although the output moves"
    assert ("control_shed", "thickness") in rig.alarms.standing
    held = rig.plc.belt
    assert held < 150.0 + 30.0 / 3.0, "it moved no longer than the patience"
    rig.step(30)
    assert rig.plc.belt == held
    assert rig.wish(held + 1.0).reason.startswith("mode: the loop's target is AUTO")
    rig.plc.overrides.clear()
    rig.step(5)
    assert rig.mode() is Mode.AUTOMATIC
    assert LOOP.frozen_seconds == 1e9, "other tests are about other things"


def test_a_person_may_move_the_output_while_the_gauge_is_dead(make_rig: MakeRig) -> None:
    rig: Rig = make_rig(loop=with_loop(frozen_seconds=PATIENCE, target_mode="manual"))
    rig.plc.overrides[THICKNESS] = Override(4.0)
    rig.step(5)
    rig.wish(152.0)
    rig.step(40)
    assert rig.plc.belt == 152.0
    rig.wish(151.0)
    rig.step(2)
    assert rig.plc.belt < 152.0, "in MAN it is his eyes that count"
