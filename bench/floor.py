"""The floor: the shortest script that does the daemon's main job, to measure the daemon against.

asyncua with a batch callback, one SQLite transaction (synchronous FULL) and one MQTT message per notification.
It has no recovery, no types, no hub; what the daemon costs beyond it is the price of everything else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sqlite3
from typing import Any

import aiomqtt
from asyncua import Client, ua
from asyncua.common.subscription import Subscription


class BatchSubscription(Subscription):  # type: ignore[misc] # asyncua is untyped
    """Hands whole notification lists to a queue instead of one task per change."""

    queue: asyncio.Queue[list[Any]]

    async def publish_callback(self, publish_result: Any) -> None:
        for notification in publish_result.NotificationMessage.NotificationData or ():
            self.queue.put_nowait(notification.MonitoredItems)


async def run(endpoint: str, broker_port: int, database: str, publishing_milliseconds: int) -> None:
    """Subscribes to every variable below the folder Counters and forwards until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    connection.execute("CREATE TABLE IF NOT EXISTS samples (handle INTEGER, time INTEGER, value REAL)")
    async with Client(endpoint, timeout=15) as client, aiomqtt.Client("127.0.0.1", broker_port) as broker:
        folder = await client.nodes.objects.get_child([await client_index(client, "Counters")])
        nodes = await folder.get_variables()
        parameters = ua.CreateSubscriptionParameters(publishing_milliseconds, 10000, 10, 0, True, 0)
        subscription = BatchSubscription(client.uaclient.session, parameters, object())
        queue: asyncio.Queue[list[Any]] = asyncio.Queue()
        subscription.queue = queue
        await subscription.init()
        for start in range(0, len(nodes), 500):
            await subscription.subscribe_data_change(nodes[start : start + 500], queuesize=10)
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            getting = asyncio.create_task(queue.get())
            await asyncio.wait({getting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                await forward(getting.result(), connection, broker)
            else:
                getting.cancel()


async def client_index(client: Any, name: str) -> str:
    """The browse name with the namespace index that the server uses."""
    return f"{await client.get_namespace_index('urn:edged:bench')}:{name}"


async def forward(items: list[Any], connection: sqlite3.Connection, broker: aiomqtt.Client) -> None:
    """One transaction and one message for one notification."""
    rows = [(i.ClientHandle, i.Value.SourceTimestamp.timestamp(), i.Value.Value.Value) for i in items]
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")
    await broker.publish("floor/data", json.dumps(rows), qos=1)


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--publishing-milliseconds", type=int, default=200)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(run(options.endpoint, options.broker_port, options.database, options.publishing_milliseconds))


if __name__ == "__main__":
    main()
