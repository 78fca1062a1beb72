"""The floor script made to survive outages: asyncua with a batch callback -> SQLite -> MQTT, and nothing else."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
from asyncua import Client, ua

from bench.contestant import GATEWAY, PUBLISHING_MILLISECONDS, Value
from bench.floor import BatchSubscription, client_index
from bench.line import LineStack
from bench.processes import Process

TOPIC = "floor/data"
SILENCE_SECONDS = 3.0
RETRY_SECONDS = 1.0
REQUEST_SECONDS = 5.0
QUEUE_SIZE = 10


class FloorScript:
    """Reads into a table of messages and empties the table into the broker; both begin anew whenever they fail."""

    def __init__(self, endpoint: str, broker_port: int, database: Path) -> None:
        self._endpoint = endpoint
        self._port = broker_port
        self._table = sqlite3.connect(database, isolation_level=None)
        self._table.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        self._table.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, body TEXT)")
        self._kept = asyncio.Event()
        self._kept.set()

    async def read(self) -> None:
        """Reads until the server is silent, again and again."""
        while True:
            try:
                async with Client(self._endpoint, timeout=REQUEST_SECONDS) as client:
                    await self._subscribe(client)
            except (TimeoutError, OSError, ua.UaError) as fault:
                logging.getLogger("floor").warning("OPC UA: %r", fault)
            await asyncio.sleep(RETRY_SECONDS)

    async def publish(self) -> None:
        """Sends what is kept, oldest first; a message goes when the broker has acknowledged it."""
        while True:
            try:
                async with aiomqtt.Client("127.0.0.1", self._port) as broker:
                    while True:
                        await self._kept.wait()
                        self._kept.clear()
                        for number, body in self._table.execute("SELECT id, body FROM messages ORDER BY id").fetchall():
                            await broker.publish(TOPIC, body, qos=1)
                            self._table.execute("DELETE FROM messages WHERE id = ?", (number,))
            except aiomqtt.MqttError as fault:
                logging.getLogger("floor").warning("MQTT: %r", fault)
            self._kept.set()
            await asyncio.sleep(RETRY_SECONDS)

    async def _subscribe(self, client: Client) -> None:
        folder = await client.nodes.objects.get_child([await client_index(client, "Counters")])
        nodes = await folder.get_variables()
        parameters = ua.CreateSubscriptionParameters(PUBLISHING_MILLISECONDS, 10000, 10, 0, True, 0)
        subscription = BatchSubscription(client.uaclient.session, parameters, object())
        queue: asyncio.Queue[list[Any]] = asyncio.Queue()
        subscription.queue = queue
        await subscription.init()
        await subscription.subscribe_data_change(nodes, queuesize=QUEUE_SIZE)
        items = subscription._monitored_items  # noqa: SLF001 - asyncua's only table of handles
        names = {handle: item.node.nodeid.Identifier for handle, item in items.items()}
        while True:
            changes = await asyncio.wait_for(queue.get(), SILENCE_SECONDS)
            rows = [
                (names[i.ClientHandle], i.Value.SourceTimestamp.timestamp(), i.Value.Value.Value)
                for i in changes
                if i.Value.SourceTimestamp is not None
            ]
            self._table.execute("INSERT INTO messages (body) VALUES (?)", (json.dumps(rows),))
            self._kept.set()


class Floor:
    """The script as a contestant."""

    name = "floor"
    access_list = ""

    def prepare(self) -> None:
        """It is here."""

    def start(self, line: LineStack, endpoint: str, core: int) -> Process:
        """The script with its table in the line's folder."""
        arguments = [sys.executable, "-m", "bench.peer_floor", "--endpoint", endpoint]
        arguments += ["--broker-port", str(line.mqtt_port), "--database", str(line.folder / "floor.db")]
        return line.start(GATEWAY, arguments, core=core)

    def decode(self, topic: str, payload: bytes) -> Sequence[tuple[int, int]]:
        """A message is a list of name, time, value."""
        return [(int(name[1:]), int(value)) for name, _, value in json.loads(payload)] if topic == TOPIC else ()

    def held_elsewhere(self, line: LineStack) -> Mapping[str, Sequence[Value]]:
        """Nobody but the broker gets anything."""
        return {}

    def close(self) -> None:
        """Nothing helped it."""


async def run(script: FloorScript) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(script.read()), group.create_task(script.publish())]
        await stop.wait()
        for task in tasks:
            task.cancel()


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(run(FloorScript(options.endpoint, options.broker_port, options.database)))


if __name__ == "__main__":
    main()
