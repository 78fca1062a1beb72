"""The plant of a replay: an output stands where the replay has put it, until somebody at the plant moves it."""

from __future__ import annotations

import pytest

from edged.types import Quality, Sample
from edged_control.replay.what_if import WhatIf

OUTPUT, READBACK, VALUE = "line_a/belt/set", "line_a/belt/is", "line_a/belt/thickness"
TOLERANCE = 0.01


def samples(readback: float | None, quality: int = Quality.GOOD) -> list[Sample]:
    """One read of everything."""
    return [Sample(READBACK, readback, 1, 1, quality), Sample(VALUE, 4.0, 1, 1)]


@pytest.fixture
def plant() -> WhatIf:
    """A plant whose belt stood at 150 when it was first read."""
    made = WhatIf({OUTPUT: (READBACK, TOLERANCE)})
    made.recorded_poll(samples(150.0))
    return made


def seen(plant: WhatIf, readback: float | None, quality: int = Quality.GOOD) -> object:
    """What the replay reads where this was recorded."""
    recorded = samples(readback, quality)
    plant.recorded_poll(recorded)
    return plant.shown(recorded)[0].value


def test_the_same_writes_show_what_was_recorded(plant: WhatIf) -> None:
    plant.recorded_write(OUTPUT, 151.0, replayed=True)
    assert seen(plant, 151.001) == 151.001


def test_a_write_of_its_own_stands(plant: WhatIf) -> None:
    plant.write(OUTPUT, 149.0)
    assert seen(plant, 150.0) == 149.0
    assert plant.read([READBACK, VALUE, "unknown"])[0].value == 149.0
    assert len(plant.read([READBACK, VALUE, "unknown"])) == 2


def test_an_output_that_is_not_written_again_stays(plant: WhatIf) -> None:
    plant.recorded_write(OUTPUT, 151.0, replayed=False)
    assert seen(plant, 151.0) == 150.0
    plant.recorded_write(OUTPUT, 152.0, replayed=False)
    assert seen(plant, 152.0) == 150.0


def test_writes_that_meet_again_show_what_was_recorded(plant: WhatIf) -> None:
    plant.write(OUTPUT, 149.0)
    plant.recorded_write(OUTPUT, 151.0, replayed=True)
    assert seen(plant, 151.0) == 151.0


def test_a_move_at_the_plant_moves_both(plant: WhatIf) -> None:
    plant.write(OUTPUT, 149.0)
    assert seen(plant, 120.0) == 120.0


def test_a_read_that_failed_stays_a_failed_read(plant: WhatIf) -> None:
    plant.write(OUTPUT, 149.0)
    assert seen(plant, None, Quality.BAD) is None
    assert seen(plant, 7.0, Quality.BAD) == 149.0
    assert seen(plant, 150.0) == 149.0


def test_other_signals_are_nobodys_output(plant: WhatIf) -> None:
    plant.write("line_a/heartbeat", 7.0)
    plant.recorded_write("line_a/heartbeat", 7.0, replayed=False)
    assert seen(plant, 150.0) == 150.0
