"""Inputs that once broke a decoder, and the sound ones that a search begins from, do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fuzz.targets import TARGETS

CRASHES = Path(__file__).with_name("crashes")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_mended_crashes(name: str) -> None:
    target = TARGETS[name]
    for data in [b"", *target.seeds, *(found.read_bytes() for found in sorted(CRASHES.glob(f"{name}/*")))]:
        target.check(data)
