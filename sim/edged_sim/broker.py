"""A small MQTT broker for the demo where mosquitto is missing: loopback, anonymous, MQTT 3.1.1, nothing persistent."""

from __future__ import annotations

import asyncio
import signal

from edged.errors import MissingLibrary
from edged.log import get_logger

MAX_CONNECTIONS = 100

log = get_logger("broker")


async def serve_broker(port: int) -> None:
    """Serves until SIGINT or SIGTERM. Raises MissingLibrary without amqtt."""
    try:
        from amqtt.broker import Broker
    except ModuleNotFoundError as error:
        raise MissingLibrary("amqtt", "sim") from error
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": MAX_CONNECTIONS}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    log.info("broker_listens", port=port)
    try:
        await stop.wait()
    finally:
        await broker.shutdown()
