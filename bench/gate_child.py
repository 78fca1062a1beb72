"""One fresh process of the perf gate: pipeline and floor in turns, its figures as JSON. Can plant a slowdown.

Every turn does the same work, so that what it takes beyond the quickest turns is the machine's other load: each figure
is the tenth of its turns, of either contestant, before the ratio is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.pipeline import Floor, Pipeline, Turn, notifications
from bench.report import percentile
from edged.outbox_types import RawBatch

WARM_UP_TURNS = 2
QUIET_SHARE = 0.1


class SlowedPipeline(Pipeline):
    """The same, each step of which takes so much longer."""

    def __init__(self, folder: Path, share: float) -> None:
        super().__init__(folder)
        self._share = share

    async def receive(self, body: bytes) -> None:
        began = time.thread_time()
        await super().receive(body)
        self._burn(began)

    def commit(self) -> Sequence[RawBatch]:
        began = time.thread_time()
        done = super().commit()
        self._burn(began)
        return done

    def send(self, batches: Sequence[RawBatch]) -> None:
        began = time.thread_time()
        super().send(batches)
        self._burn(began)

    def _burn(self, began: float) -> None:
        now = time.thread_time()
        until = now + (now - began) * self._share
        while time.thread_time() < until:
            pass


async def run(turns: int, slower: float) -> dict[str, float]:
    """CPU of a turn and the p95 of its lists, both over the floor's."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        pipeline, floor = SlowedPipeline(place, slower) if slower else Pipeline(place), Floor(place)
        await pipeline.start()
        pipelines: list[Turn] = []
        floors: list[Turn] = []
        for number in range(WARM_UP_TURNS + turns):
            bodies = notifications(number)
            if number == WARM_UP_TURNS:
                gc.collect()
                gc.freeze()
            first = floor.run(bodies) if number % 2 else None
            turn = await pipeline.run(bodies)
            beside = first or floor.run(bodies)
            if number >= WARM_UP_TURNS:
                pipelines.append(turn)
                floors.append(beside)
        return {
            "cpu": quiet([turn.seconds for turn in pipelines]) / quiet([turn.seconds for turn in floors]),
            "pipeline": quiet([slowest(turn) for turn in pipelines]) / quiet([slowest(turn) for turn in floors]),
        }


def slowest(turn: Turn) -> float:
    """The p95 of a turn's lists."""
    return percentile(turn.lists, 0.95)


def quiet(turns: Sequence[float]) -> float:
    """What the work takes where nothing disturbs it."""
    return percentile(turns, QUIET_SHARE)


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--slower", type=float, default=0.0, help="share by which every step is slowed down")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.turns, options.slower))))


if __name__ == "__main__":
    main()
