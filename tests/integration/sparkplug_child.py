"""A node in a process of its own, for tests that shoot it: python -m tests.integration.sparkplug_child PORT FOLDER."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edged.settings import BrokerSettings
from tests.integration.sparkplug_bench import Bench
from tests.unit.connectors.sparkplug_line import TEMPERATURE


async def main(port: int, folder: Path) -> None:
    """A value every 50 ms until the process is ended."""
    bench = Bench(folder, [BrokerSettings(port=port)])
    async with bench.running():
        number = 0
        while True:
            bench.put((TEMPERATURE, float(number)))
            number += 1
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
