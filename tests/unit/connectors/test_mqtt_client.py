"""A connection that is gone before anybody looks at it is no fault of the event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from edged_connectors.mqtt_client import MqttClient


async def test_a_socket_that_was_closed_before_it_is_watched_is_left_alone() -> None:
    client, loop = MqttClient("localhost"), asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    ours, theirs = socket.socketpair()
    client._on_socket_open(client._client, None, ours)
    ours.close()
    theirs.close()
    await asyncio.sleep(0.01)
    loop.set_exception_handler(None)
    assert faults == []
