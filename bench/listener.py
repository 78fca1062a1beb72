"""A neutral MQTT subscriber: keeps every message with its arrival time, across restarts of the broker."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

RECONNECT_SECONDS = 0.05
"""Shorter than any gateway takes: what is sent with QoS 0 is not kept for an absent subscriber."""


class Message(NamedTuple):
    """One message as it came; `at` in ms UTC."""

    at: float
    topic: str
    payload: bytes


class Listener:
    """Subscribes to everything with QoS 1 and a session that the broker keeps, in a thread of its own until closed."""

    def __init__(self, port: int) -> None:
        self._messages: list[Message] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="neutral-listener", clean_session=False)
        reconnect_at_once(self._client)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._keep
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def take(self) -> list[Message]:
        """What came since the last call."""
        taken, self._messages = self._messages, []
        return taken

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("#", qos=1)

    def _keep(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._messages.append(Message(time.time_ns() / 1e6, message.topic, bytes(message.payload)))


def reconnect_at_once(client: mqtt.Client) -> None:
    """Lets a client come back to a broker before any gateway does."""
    client.reconnect_delay_set(RECONNECT_SECONDS, RECONNECT_SECONDS)  # type: ignore[arg-type] # parts of one will do
