"""What the drills put between the daemon and the world, and the page that keeps their table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.drill import DRILLS, merged, write_table
from bench.drills_network import without_acknowledgements
from bench.report import Report

PUBACK = bytes([0x40, 2, 0, 7])
LONG = bytes([0x30, 0x80, 1, *range(128)])
PINGRESP = bytes([0xD0, 0])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_deaf_broker_says_everything_but_its_acknowledgements(size: int) -> None:
    said = LONG + PUBACK + PINGRESP + PUBACK + LONG
    passed = without_acknowledgements()
    pieces = [passed(said[at : at + size]) for at in range(0, len(said), size)]
    assert b"".join(pieces) == LONG + PINGRESP + LONG


def test_every_drill_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len({drill.name for drill in DRILLS}) == len(DRILLS)
    assert all(drill.what and drill.seconds > 0 and drill.act.__doc__ for drill in DRILLS)


def test_new_rows_replace_old_ones_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "drills.md"
    page.write_text("before\n<!-- drills -->\n<!-- end -->\nafter\n", encoding="utf-8")
    first, second = DRILLS[0].name, DRILLS[1].name
    write_table(page, Report("drill", ("drill", "lost"), [(second, 1), (first, 2)]))
    write_table(page, Report("drill", ("drill", "lost"), [(second, 0)]))
    text = page.read_text(encoding="utf-8")
    rows = f"| drill | lost |\n| --- | --- |\n| {first} | 2 |\n| {second} | 0 |\n"
    assert text == f"before\n<!-- drills -->\n{rows}<!-- end -->\nafter\n"


def test_a_row_of_a_drill_that_is_gone_goes_too() -> None:
    old = "| drill | lost |\n| --- | --- |\n| gone | 0 |\n"
    assert "gone" not in merged(old, old.replace("gone", DRILLS[0].name))
