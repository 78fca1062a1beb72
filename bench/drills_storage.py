"""Drills of the disk and the outbox: full, damaged, with a million values waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.disturbance import SOURCES, Disturbance, Drill, broker_missing
from bench.drill_line import DrillLine
from bench.line import wall_milliseconds
from bench.processes import wait_until
from bench.report import Bar
from edged.clock import SystemClock
from edged.outbox import Outbox
from edged.settings import OutboxSettings
from edged.types import Quality, Sample

DISK_BYTES = 24_000_000
PIECE_BYTES = 4096
FULL_SECONDS = 20.0
BACKLOG_SECONDS = 15.0
SEED = 20
WAITING_SIGNALS = 100
WAITING_TICKS = 10_400
TICKS_PER_BATCH = 10
WAITING_VALUES = WAITING_SIGNALS * WAITING_TICKS


def start_on_small_disk(line: DrillLine) -> None:
    """The glass line; the daemon's folder is a file system of a few MB."""
    line.edge_data.mkdir()
    line.enter(_small_disk(line.edge_data))
    line.start_surroundings()
    line.start_glass_plant()
    line.start_edge(line.glass_config())


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "edged-drill", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def disk_full(line: DrillLine) -> Disturbance:
    """Not a byte is left for 20 s: values wait in memory, which has room for minutes of this line."""
    filler = line.edge_data / "filler"
    done = Disturbance(backlog=True)
    with done.span():
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(PIECE_BYTES))
        wait_until("the full disk to be noticed", lambda: _degraded(line), line.processes["edged"])
        time.sleep(FULL_SECONDS)
        filler.unlink()
        wait_until("the disk to be used again", lambda: not _degraded(line), line.processes["edged"])
    return done


def _degraded(line: DrillLine) -> bool:
    status = line.status()
    return status is not None and bool(status["outbox"]["degraded"])


def outbox_damaged(line: DrillLine) -> Disturbance:
    """A fifth of the file is overwritten in its middle while the daemon is stopped and values wait for the hub."""
    done = Disturbance(away=SOURCES, gaps=("outbox", *SOURCES))
    with done.span():
        line.processes["hub"].kill()
        time.sleep(BACKLOG_SECONDS)
        status = line.stop_edge()
        outbox = line.edge_data / "outbox.db"
        size = outbox.stat().st_size
        with outbox.open("r+b") as file:
            file.seek(size * 2 // 5)
            file.write(random.Random(SEED).randbytes(size // 5))
        line.start_hub()
        line.start_edge()
    line.wait_for_data()
    line.wait_until_drained()
    page = line.hub_page("/api/v1/gaps?limit=1000") or {"gaps": []}
    told = sum(gap["source"] == "outbox" for gap in page["gaps"])
    done.bars += [
        Bar("exit status of the first stop", status, 0),
        Bar("gaps of the outbox told", told, 1, "at_least"),
    ]
    return done


def backlog_drained(line: DrillLine) -> Disturbance:
    """A million values wait in the outbox when the daemon starts; new ones come meanwhile."""
    done = Disturbance(away=SOURCES, gaps=SOURCES, backlog=True)
    with done.span():
        line.stop_edge()
        asyncio.run(_fill(line))
        line.start_edge()
    line.wait_for_data()
    began = time.monotonic()
    line.wait_until_drained()
    done.bars.append(Bar("values drained per second", WAITING_VALUES / (time.monotonic() - began), 1, "at_least"))
    return done


async def _fill(line: DrillLine) -> None:
    """Counters of the last seconds, journalled as a face of their own, put there by the product itself."""
    names = [f"{line.node}/waiting/c{number}" for number in range(WAITING_SIGNALS)]
    begin = wall_milliseconds() - WAITING_TICKS
    outbox = await Outbox.open(line.edge_data / "outbox.db", OutboxSettings(), SystemClock())
    for sink in ("hub", "sparkplug"):
        outbox.sink(sink)
    with (line.journal / "waiting.jsonl").open("w", encoding="utf-8") as journal:
        for first in range(0, WAITING_TICKS, TICKS_PER_BATCH):
            samples = []
            for tick in range(first, first + TICKS_PER_BATCH):
                stamp = begin + tick
                entry = {"t": stamp, "signals": dict.fromkeys(names, float(tick)), "bad": []}
                journal.write(json.dumps(entry) + "\n")
                nanoseconds = stamp * 1_000_000
                samples += [Sample(name, float(tick), nanoseconds, nanoseconds, Quality.GOOD, "") for name in names]
            await outbox.append("waiting", samples)
    await outbox.close()


def root_missing() -> str | None:
    """What this machine lacks to mount a disk, or None."""
    return broker_missing() or (None if os.geteuid() == 0 else "root")


DRILLS = (
    Drill("disk-full", "the outbox's disk is full for 20 s", 55, disk_full, start_on_small_disk, root_missing),
    Drill("outbox-damaged", "a fifth of the outbox overwritten while stopped", 50, outbox_damaged),
    Drill("backlog-drained", "a million waiting values drain beside new ones", 120, backlog_drained, sparkplug=False),
)
