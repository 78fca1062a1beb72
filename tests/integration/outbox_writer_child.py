"""Writes to an outbox until it is killed. Says `kept NAME NUMBER` for an append only when its promise was kept, and
`took SEQ NAME:NUMBER ...` for a batch before it confirms it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from edged.clock import SystemClock
from edged.log import configure
from edged.outbox import Outbox
from edged.outbox_sink import OutboxSink
from edged.settings import OutboxSettings
from edged.supervise import start_task
from edged.types import Lane, Sample

ROWS = 7
"""Samples of one append; all of them carry its number."""


def say(line: str) -> None:
    """One write, so that a kill does not tear it."""
    os.write(1, f"{line}\n".encode())


async def write(outbox: Outbox, start: int, name: str) -> None:
    """Appends without end."""
    number = start
    while True:
        samples = [Sample(f"{name}/{row}", number, number, number) for row in range(ROWS)]
        await outbox.append(name, samples, [b"%d" % number])
        say(f"kept {name} {number}")
        number += 1


async def confirm(sink: OutboxSink) -> None:
    """Confirms two of three batches, so that confirming and removing are under way at the kill as well."""
    sink.reopen()
    while True:
        batches = await sink.take(Lane.PROCESS, live=False, max_batches=3, max_bytes=1_000_000)
        batches = [*batches, *await sink.take(Lane.PROCESS, live=True, max_batches=3, max_bytes=1_000_000)]
        for batch in batches[:2]:
            held = {(sample.signal.partition("/")[0], sample.value) for sample in batch.samples()}
            say(f"took {batch.key.seq} {' '.join(sorted(f'{name}:{number}' for name, number in held))}")
        await sink.confirm([batch.key for batch in batches[:2]])
        sink.release([batch.key for batch in batches[2:]])
        await sink.wait(0.02)


async def main(path: Path, start: int) -> None:
    outbox = await Outbox.open(path, OutboxSettings(commit_seconds=0.005, commit_samples=50), SystemClock())
    await asyncio.gather(
        start_task("one", write(outbox, start, "one")),
        start_task("two", write(outbox, start, "two")),
        start_task("confirm", confirm(outbox.sink("taker"))),
    )


if __name__ == "__main__":
    configure("critical")
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
