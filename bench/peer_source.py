"""The OPC UA server before which gateways are compared: counters in a journal that outlives a killed server.

Plain asyncua, so that what a client asks for (queues, lifetimes, acknowledgements) has its effect. A server that is
started again counts on, so that every count is offered once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Server, ua

from bench.turns import Journal, turns

NAMESPACE = "urn:edged:bench"


def read_journal(path: Path) -> dict[int, int]:
    """When (ms UTC) each number was offered by every counter; a line that a kill cut off is left out."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="ascii").split("\n")[:-1]
    return {int(number): int(milliseconds) for number, milliseconds in map(str.split, lines)}


async def run(port: int, counters: int, period_seconds: float, journal: Path) -> None:
    """Counts once per period, with whole-millisecond source times, until SIGTERM; a stall is not made up for."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_folder(ua.NodeId("Counters", index), f"{index}:Counters")
    count = max(read_journal(journal), default=0)
    nodes = [
        (await folder.add_variable(ua.NodeId(f"c{i}", index), f"{index}:c{i}", float(count))).nodeid
        for i in range(counters)
    ]
    async with server:
        with closing(Journal(journal)) as written:
            async for milliseconds in turns(period_seconds, stop):
                count += 1
                written.write(f"{count} {milliseconds}")
                await offer(server, nodes, count, milliseconds)


async def offer(server: Server, nodes: Sequence[ua.NodeId], count: int, milliseconds: int) -> None:
    """Gives every counter its next value."""
    stamp = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)
    value = ua.DataValue(ua.Variant(float(count), ua.VariantType.Double), SourceTimestamp=stamp, ServerTimestamp=stamp)
    for node in nodes:
        await server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, value)


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--counters", type=int, required=True)
    parser.add_argument("--period-seconds", type=float, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(run(options.port, options.counters, options.period_seconds, options.journal))


if __name__ == "__main__":
    main()
