"""Bounds on the times of what an outbox file holds, in a small file beside it: known when the file itself is torn.

They never promise too much. Before a commit that they would not cover they are widened, on disk; as what the file
holds becomes younger they are narrowed, without waiting for the disk.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edged.durable import replace_file
from edged.outbox_types import BatchTimes, NewBatch
from edged.types import NANOSECONDS_PER_SECOND, BatchKey, Lane

BOUNDS_SUFFIX = "-bounds"
NARROWED_BY_NS = 2 * NANOSECONDS_PER_SECOND
"""The file is written again when its oldest time can be moved by so much."""
NOTHING = 1 << 62
STEP_NS = NANOSECONDS_PER_SECOND // 2
MOST_STEPS = 4096
SMALLEST_SPREAD_NS = NANOSECONDS_PER_SECOND // 2
UNKNOWN_SPREAD_NS = 5 * NANOSECONDS_PER_SECOND
"""What is assumed of a file that has none of these beside it."""


class Bounds(NamedTuple):
    """No source time in a lane is before its `oldest` (ns UTC), and none is further than `spread` ns from its commit.

    `sources` were last heard then or later, ns UTC.
    """

    stream: str
    oldest: Mapping[Lane, int]
    spread: int
    sources: Mapping[str, int]


class Horizon:
    """The oldest source time of the batches that are left of a lane: never too late, at most a step too early."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, int]] = deque()
        """Up to which number, and what no batch after the step before is older than; both only grow."""

    def add(self, seq: int, first: int) -> None:
        """A batch with the next number."""
        while self._steps and self._steps[-1][1] >= first:
            self._steps.pop()
        if self._steps and first < self._steps[-1][1] + STEP_NS:
            _, first = self._steps.pop()
        self._steps.append((seq, first))
        if len(self._steps) > MOST_STEPS:
            steps = list(self._steps)
            self._steps = deque((last, early) for (_, early), (last, _) in zip(steps[::2], steps[1::2], strict=False))
            self._steps.extend(steps[len(steps) // 2 * 2 :])

    def drop_before(self, seq: int) -> None:
        """Lower numbers are no longer stored."""
        while self._steps and self._steps[0][0] < seq:
            self._steps.popleft()

    @property
    def oldest(self) -> int | None:
        """None when nothing is left."""
        return self._steps[0][1] if self._steps else None


class BoundsFile:
    """Keeps the bounds of one open outbox. Every method runs on the writer thread."""

    def __init__(self, outbox: Path) -> None:
        self._outbox = outbox
        self._stream = ""
        self._horizons = {lane: Horizon() for lane in Lane}
        self._spread = SMALLEST_SPREAD_NS
        self._sources: dict[str, int] = {}
        self._noted: Bounds | None = None

    def load(
        self, stream: str, batches: Mapping[Lane, Iterable[tuple[int, int, int]]], sources: Mapping[str, int]
    ) -> None:
        """What the file holds: number, oldest source time and spread of its batches in order."""
        self._stream, self._sources, self._noted = stream, dict(sources), None
        self._horizons = {lane: Horizon() for lane in Lane}
        for lane, of_lane in batches.items():
            for seq, first, spread in of_lane:
                self._horizons[lane].add(seq, first)
                self._spread = max(self._spread, _rounded_up(spread))

    def cover(self, batches: Sequence[NewBatch], now: int) -> None:
        """Before these are committed, at that time (ns UTC). Raises OSError."""
        if not batches:
            return
        self._spread = max(self._spread, _rounded_up(max(batch.times.spread for batch in batches)))
        firsts = {lane: min(b.times.first for b in batches if b.lane is lane) for lane in {b.lane for b in batches}}
        noted = self._noted
        if noted is None or self._spread > noted.spread or any(firsts[one] < noted.oldest[one] for one in firsts):
            oldest = {lane: min(bound, firsts.get(lane, bound)) for lane, bound in self._oldest(now).items()}
            self._write(oldest, synced=True)

    def stored(self, key: BatchKey, times: BatchTimes) -> None:
        """A batch is in the file."""
        self._horizons[key.lane].add(key.seq, times.first)

    def narrow(self, first_stored: Mapping[Lane, int | None], sources: Mapping[str, int], now: int) -> None:
        """After a commit: the lowest numbers that are still stored, and when sources were heard."""
        self._sources.update(sources)
        for lane, seq in first_stored.items():
            self._horizons[lane].drop_before(NOTHING if seq is None else seq)
        oldest = self._oldest(now)
        noted = self._noted
        if noted is not None and any(oldest[lane] - noted.oldest[lane] >= NARROWED_BY_NS for lane in oldest):
            with suppress(OSError):
                self._write(oldest, synced=False)

    def known(self) -> Bounds | None:
        """What was noted last, by this run or the one before."""
        found = self._noted or read_bounds(self._outbox)
        return found if found is not None and found.stream == self._stream else None

    def _oldest(self, now: int) -> dict[Lane, int]:
        """Of an empty lane: what is committed from now on is not older than the spread."""
        return {
            lane: horizon.oldest if horizon.oldest is not None else now - self._spread
            for lane, horizon in self._horizons.items()
        }

    def _write(self, oldest: Mapping[Lane, int], *, synced: bool) -> None:
        bounds = Bounds(self._stream, oldest, self._spread, dict(self._sources))
        text = json.dumps(bounds._asdict())
        replace_file(bounds_path(self._outbox), f"{zlib.crc32(text.encode()):08x} {text}\n", synced=synced)
        self._noted = bounds


def bounds_path(outbox: Path) -> Path:
    """Where the bounds of an outbox file are."""
    return outbox.with_name(outbox.name + BOUNDS_SUFFIX)


def read_bounds(outbox: Path) -> Bounds | None:
    """What is known of an outbox file; None when there is nothing that can be trusted."""
    try:
        checksum, _, text = bounds_path(outbox).read_bytes().rstrip(b"\n").partition(b" ")
        if int(checksum, 16) != zlib.crc32(text):
            return None
        read = json.loads(text)
        oldest = {lane: _whole(read["oldest"][lane]) for lane in Lane}
        sources = {source: _whole(seen) for source, seen in read["sources"].items()}
        return Bounds(str(read["stream"]), oldest, _whole(read["spread"]), sources)
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError):
        return None


def _whole(number: object) -> int:
    """A time or a span in ns. Raises ValueError."""
    if type(number) is not int or abs(number) > NOTHING:
        raise ValueError(f"{number} is no time")
    return number


def _rounded_up(spread: int) -> int:
    """To a power of two of the smallest: it changes seldom."""
    rounded = SMALLEST_SPREAD_NS
    while rounded < spread:
        rounded *= 2
    return rounded
