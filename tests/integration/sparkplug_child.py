"""Outbox and node in a process of their own, for tests that shoot it.

python -m tests.integration.sparkplug_child PORT FOLDER: a few values every commit; FOLDER/journal gets a line
`ms value` for each one that is durable.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edged.metrics import Metrics
from edged.outbox import Outbox
from edged.settings import BrokerSettings, OutboxSettings
from edged.supervise import Supervisor
from edged.tags import Tags
from edged.types import Lane, Sample
from tests.integration.sparkplug_bench import CLOCK, MILLISECOND, node_over, node_settings
from tests.unit.connectors.sparkplug_line import TEMPERATURE

TICK_SECONDS = 0.02
ROWS = 5


async def main(port: int, folder: Path) -> None:
    """Until the process is ended."""
    outbox = await Outbox.open(folder / "outbox.db", OutboxSettings(commit_seconds=0.1), CLOCK, metrics=Metrics())
    tags = Tags()
    sink = outbox.sink("sparkplug", lanes=(Lane.PROCESS,))
    node = node_over(sink, tags, node_settings([BrokerSettings(port=port)]), folder)
    async with Supervisor(CLOCK) as supervisor:
        supervisor.start("sparkplug", node.run)
        with (folder / "journal").open("a", encoding="utf-8") as journal:
            while True:
                base = CLOCK.now() // MILLISECOND
                rows = [_row(base + offset) for offset in range(ROWS)]
                tags.update(rows)
                await outbox.append("furnace", rows)
                journal.writelines(f"{row.source_time // MILLISECOND} {row.value!r}\n" for row in rows)
                journal.flush()
                await asyncio.sleep(TICK_SECONDS)


def _row(moment: int) -> Sample:
    return Sample(TEMPERATURE, moment / 7.0, moment * MILLISECOND, moment * MILLISECOND)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
