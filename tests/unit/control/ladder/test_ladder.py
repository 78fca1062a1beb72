"""The ladder: the highest rung that is well leads; down at once, up after good cycles only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_control.ladder.ladder import Ladder

RUNGS = ("top", "middle", "low")
WELL = ("", "", "")

faults = st.tuples(*(st.sampled_from(["", "", "broken"]) for _ in RUNGS))


def led(ladder: Ladder, *cycles: tuple[str, ...]) -> list[str | None]:
    steps = [ladder.step(cycle) for cycle in cycles]
    return [None if step is None else RUNGS[step] for step in steps]


def test_it_begins_at_the_bottom_and_climbs_after_good_cycles() -> None:
    ladder = Ladder(RUNGS, 3)
    assert led(ladder, WELL, WELL, WELL, WELL) == ["low", "low", "top", "top"]
    assert ladder.leader == "top"
    assert not ladder.fallen
    assert ladder.reason == ""


def test_it_falls_in_the_same_cycle_to_the_next_that_is_well() -> None:
    ladder = Ladder(RUNGS, 2)
    assert led(ladder, WELL, WELL, ("late", "", ""), ("late", "broken", ""), ("", "", "")) == [
        "low",
        "top",
        "middle",
        "low",
        "low",
    ]
    assert ladder.fallen
    assert ladder.reason == "well again, waits for 2 good cycles"
    assert led(ladder, WELL) == ["top"]


def test_it_tells_why_the_configured_rung_does_not_lead() -> None:
    ladder = Ladder(RUNGS, 1)
    assert led(ladder, ("late", "", "")) == ["middle"]
    assert ladder.reason == "late"
    assert led(ladder, ("worse", "broken", "gone")) == [None]
    assert ladder.reason == "worse"
    assert ladder.leader == "middle"


def test_one_rung_leads_from_the_first_cycle() -> None:
    ladder = Ladder(["pid"], 5)
    assert ladder.step([""]) == 0
    assert not ladder.fallen
    assert ladder.step(["broken"]) is None


@given(st.lists(faults, max_size=40), st.integers(1, 4))
def test_what_leads_is_well_and_nothing_climbs_early(cycles: list[tuple[str, ...]], good_cycles: int) -> None:
    ladder = Ladder(RUNGS, good_cycles)
    before, good = len(RUNGS) - 1, [0] * len(RUNGS)
    for cycle in cycles:
        good = [0 if fault else count + 1 for fault, count in zip(cycle, good, strict=True)]
        step = ladder.step(cycle)
        if step is None:
            assert all(cycle[before:]), "a rung below that is well takes over at once"
            continue
        assert cycle[step] == ""
        assert step >= before or good[step] >= good_cycles
        assert all(cycle[above] or good[above] < good_cycles for above in range(min(step, before)))
        before = step


@pytest.mark.parametrize("good_cycles", [1, 4])
def test_chatter_never_reaches_the_top(good_cycles: int) -> None:
    ladder = Ladder(RUNGS, good_cycles + 1)
    for _ in range(20):
        assert set(led(ladder, *[WELL] * good_cycles, ("broken", "", ""))) <= {"middle", "low"}
