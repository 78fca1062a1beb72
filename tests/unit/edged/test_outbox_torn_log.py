"""A process that ends while the log is being written: nothing was promised yet, so nothing is lost and nothing told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.types import Lane
from tests.unit.edged.outbox_bench import drain, opened, put, values
from tests.unit.edged.outbox_witness import copy_folder

CUTS = 40


@pytest.mark.parametrize("batches", [0, 1, 5])
async def test_a_half_written_transaction_never_happened(tmp_path: Path, batches: int) -> None:
    made = tmp_path / "made"
    made.mkdir()
    log = made / "outbox.db-wal"
    async with opened(made / "outbox.db", VirtualClock()) as outbox:
        stream = outbox.stream
        for number in range(batches):
            await put(outbox, start=number)
        before = log.stat().st_size
        copy_folder(made, tmp_path / "before")
        await put(outbox, start=batches)
        whole = log.read_bytes()
    assert len(whole) > before
    for cut in range(CUTS + 1):
        torn = tmp_path / str(cut)
        copy_folder(tmp_path / "before", torn)
        length = before + cut * (len(whole) - before) // CUTS
        (torn / log.name).write_bytes(whole[:length])
        async with opened(torn / "outbox.db", VirtualClock()) as outbox:
            assert outbox.stream == stream
            sink = outbox.sink("hub")
            there = [float(number) for number in range(batches + (cut == CUTS))]
            assert values(await drain(sink)) == there
            assert await drain(sink, Lane.EVENTS) == []
