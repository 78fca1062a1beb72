"""A Sparkplug host: counts births and values and what it could not read; as primary host it tells its state."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from typing import Any

import paho.mqtt.client as mqtt
from google.protobuf.message import DecodeError
from paho.mqtt.enums import CallbackAPIVersion

from edged_connectors.north.sparkplug_pb2 import Payload

DATA_KINDS = ("NDATA", "DDATA")
BIRTH_KINDS = ("NBIRTH", "DBIRTH")
KEEP_ALIVE_SECONDS = 5
RETRY_SECONDS = 1
READY_SECONDS = 10.0

Value = float | int | bool | str


class SparkplugHost:
    """Subscribes in a thread of its own until closed.

    A primary host speaks STATE, by a will too, and keeps every value that it read: `held` by signal and time in ms.
    """

    def __init__(self, port: int, *, primary: str | None = None) -> None:
        self.births = 0
        self.values = 0
        self.unreadable = 0
        self.held: dict[str, dict[int, Value]] = defaultdict(dict)
        self._port = port
        self._primary = primary
        self._names: dict[tuple[str, int], str] = {}
        self._ready = threading.Event()
        self._client = self._connect()

    def vanish(self) -> None:
        """Reads nothing any more and says nothing: the broker finds out by the keep-alive."""
        self._client.loop_stop()

    def come_back(self) -> None:
        """A new connection; what the old one did not read is lost to this host."""
        self._client = self._connect()

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connect(self) -> mqtt.Client:
        self._ready.clear()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench-host")
        client.on_connect = self._subscribe
        client.on_subscribe = self._tell_online
        client.on_pre_connect = self._write_will
        client.on_message = self._count
        client.reconnect_delay_set(RETRY_SECONDS, RETRY_SECONDS)
        client.connect("127.0.0.1", self._port, KEEP_ALIVE_SECONDS)
        client.loop_start()
        self._ready.wait(READY_SECONDS)
        return client

    def _write_will(self, client: mqtt.Client, _userdata: Any) -> None:
        self._born = time.time_ns() // 1_000_000
        if self._primary is not None:
            client.will_set(f"spBv1.0/STATE/{self._primary}", self._state(online=False), qos=1, retain=True)

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe("spBv1.0/#", qos=0)

    def _tell_online(self, client: mqtt.Client, *_: Any) -> None:
        if self._primary is not None:
            client.publish(f"spBv1.0/STATE/{self._primary}", self._state(online=True), qos=1, retain=True)
        self._ready.set()

    def _state(self, *, online: bool) -> str:
        return json.dumps({"online": online, "timestamp": self._born})

    def _count(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        parts = message.topic.split("/")
        kind = parts[2] if len(parts) > 3 else ""
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
        if self._primary is not None:
            self._keep("/".join(parts[3:]), payload, named=kind in BIRTH_KINDS)

    def _keep(self, device: str, payload: Payload, *, named: bool) -> None:
        """By alias, as the last birth of the device gave it."""
        for metric in payload.metrics:
            if named:
                self._names[(device, metric.alias)] = f"{device}/{metric.name}"
            field = metric.WhichOneof("value")
            name = self._names.get((device, metric.alias))
            if field is None or metric.is_null or name is None:
                continue
            self.held[name][metric.timestamp] = getattr(metric, field)
