"""An OPC UA server whose every value is a counter: the load for benchmarks. Its journal is its count per signal."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Server, ua

NAMESPACE = "urn:edged:bench"


async def run(port: int, signals: int, period_seconds: float, ready_file: Path) -> None:
    """Writes each of `signals` variables once per period, with whole-millisecond source times, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_folder(ua.NodeId("Counters", index), f"{index}:Counters")
    nodes = [
        (await folder.add_variable(ua.NodeId(f"c{i}", index), f"{index}:c{i}", 0.0)).nodeid for i in range(signals)
    ]
    async with server:
        ready_file.write_text(json.dumps({"port": port}), encoding="utf-8")
        count = 0
        due = time.monotonic()
        while not stop.is_set():
            count += 1
            stamp = datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC).replace(tzinfo=None)
            value = ua.DataValue(
                ua.Variant(float(count), ua.VariantType.Double), SourceTimestamp=stamp, ServerTimestamp=stamp
            )
            for node in nodes:
                await server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, value)
            due += period_seconds
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        ready_file.with_suffix(".journal").write_text(json.dumps({"offered": count * signals}), encoding="utf-8")


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--period-seconds", type=float, default=0.1)
    parser.add_argument("--ready-file", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(run(options.port, options.signals, options.period_seconds, options.ready_file))


if __name__ == "__main__":
    main()
