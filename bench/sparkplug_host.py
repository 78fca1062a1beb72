"""A Sparkplug host that only listens: counts births and values, and what it could not read."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as mqtt
from google.protobuf.message import DecodeError
from paho.mqtt.enums import CallbackAPIVersion

from edged_connectors.north.sparkplug_pb2 import Payload

DATA_KINDS = ("NDATA", "DDATA")
BIRTH_KINDS = ("NBIRTH", "DBIRTH")


class SparkplugHost:
    """Subscribes in a thread of its own until closed."""

    def __init__(self, port: int) -> None:
        self.births = 0
        self.values = 0
        self.unreadable = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench-host")
        self._client.on_connect = self._subscribe
        self._client.on_message = self._count
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("spBv1.0/#", qos=0)

    def _count(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.split("/")[2] if message.topic.count("/") >= 3 else ""
        if kind not in DATA_KINDS + BIRTH_KINDS:
            return
        try:
            payload = Payload.FromString(bytes(message.payload))
        except DecodeError:
            self.unreadable += 1
            return
        if kind in BIRTH_KINDS:
            self.births += 1
        else:
            self.values += len(payload.metrics)
