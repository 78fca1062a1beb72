"""When a source was last heard: what the runner says of its absence is not heard from it (GLS7)."""

from __future__ import annotations

from edged.outbox_types import Piece
from edged.types import Quality, Sample

HEARD = Sample("line_a/furnace/temperature", 1500.0, 10, 11)
AWAY = Sample("line_a/furnace/temperature", None, 90, 91, Quality.BAD, "source_offline")


def test_the_last_value_counts_not_the_words_about_its_absence() -> None:
    assert Piece("furnace", [HEARD, AWAY], ()).last_heard == 11
    assert Piece("furnace", [AWAY], ()).last_heard is None
    assert Piece("furnace", [], ()).last_heard is None
