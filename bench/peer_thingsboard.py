"""ThingsBoard IoT Gateway as a contestant, with a stand-in for the platform on top of the line's broker."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.contestant import (
    COUNTERS,
    GATEWAY,
    INSTALLED,
    MANIFESTS,
    PUBLISHING_MILLISECONDS,
    Value,
    counter_number,
    install,
)
from bench.line import LineStack
from bench.listener import reconnect_at_once
from bench.processes import Process

FOLDER = INSTALLED / "thingsboard"
REQUIREMENTS = MANIFESTS / "thingsboard" / "requirements.txt"
TELEMETRY = "v1/gateway/telemetry"
REQUESTS = "v1/devices/me/rpc/request/"
RESPONSES = "v1/devices/me/rpc/response/"
TOKEN = "bench"
ACCESS_LIST = f"""
topic readwrite #
user {TOKEN}
topic write v1/gateway/#
topic write v1/devices/me/#
topic read v1/gateway/attributes/response
topic read v1/devices/me/attributes/response/#
topic read {RESPONSES}#
"""
"""The platform does not send a gateway's own messages back to it; a plain broker would."""
NOWHERE = "http://127.0.0.1:9"
"""The gateway asks its maker for updates; it finds nobody."""
NO_LIMITS = {"maxPayloadSize": 65_536, "maxInflightMessages": 1_000, "rateLimits": {}, "gatewayRateLimits": {}}


class Platform:
    """Answers what a gateway asks ThingsBoard before it sends anything: how much it may.

    A gateway asks once per connection, so this client must be back at a broker before it is.
    """

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="platform")
        reconnect_at_once(self._client)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._answer
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{REQUESTS}+", qos=1)

    def _answer(self, client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if json.loads(message.payload).get("method") == "getSessionLimits":
            client.publish(RESPONSES + message.topic.removeprefix(REQUESTS), json.dumps(NO_LIMITS), qos=1)


class ThingsBoardGateway:
    """Version 3.8.5 with its SQLite storage, QoS 1 and OPC UA subscriptions."""

    name = "thingsboard"
    access_list = ACCESS_LIST

    def __init__(self) -> None:
        self._platform: Platform | None = None

    def prepare(self) -> None:
        """An environment of its own."""
        done = FOLDER / "requirements.txt"
        if done.exists() and done.read_bytes() == REQUIREMENTS.read_bytes():
            return
        install(self.name, [sys.executable, "-m", "venv", "venv"], FOLDER)
        install(self.name, ["venv/bin/pip", "install", "--no-deps", "--quiet", "-r", str(REQUIREMENTS)], FOLDER)
        done.write_bytes(REQUIREMENTS.read_bytes())

    def start(self, line: LineStack, endpoint: str, core: int) -> Process:
        """The gateway, and on the first start the platform's stand-in."""
        if self._platform is None:
            self._platform = Platform(line.mqtt_port)
        folder = line.folder / "thingsboard"
        write_configuration(folder, endpoint, line.mqtt_port)
        environment = {
            "TB_GW_CONFIG_DIR": f"{folder}/",
            "TB_GW_LOGS_PATH": str(folder / "logs"),
            "HTTPS_PROXY": NOWHERE,
        }
        program = FOLDER / "venv" / "bin" / "thingsboard-gateway"
        return line.start(GATEWAY, [str(program)], environment=environment, core=core)

    def decode(self, topic: str, payload: bytes) -> Sequence[tuple[int, int]]:
        """Telemetry is a list of times with values, per device."""
        if topic != TELEMETRY:
            return ()
        return [
            (number, int(value))
            for entries in json.loads(payload).values()
            for entry in entries
            for name, value in entry.get("values", entry).items()
            if (number := counter_number(name)) is not None
        ]

    def held_elsewhere(self, line: LineStack) -> Mapping[str, Sequence[Value]]:
        """Nobody but the broker gets anything."""
        return {}

    def close(self) -> None:
        """Stops the platform's stand-in."""
        if self._platform is not None:
            self._platform.close()


def write_configuration(folder: Path, endpoint: str, broker_port: int) -> None:
    """The gateway's files: defaults except what the comparison needs, and a storage that survives a kill."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    for name, content in (
        ("tb_gateway.json", gateway_configuration(folder, broker_port)),
        ("opcua.json", connector_configuration(endpoint)),
        ("logs.json", LOGS),
    ):
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "level": "WARNING"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
}


def gateway_configuration(folder: Path, broker_port: int) -> dict[str, object]:
    """The platform's address, QoS 1 and storage."""
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": broker_port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False, "enableCustom": False},
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "maxPayloadSizeBytes": 65_536,
            "qos": 1,
            "security": {"type": "accessToken", "accessToken": TOKEN},
            "reportStrategy": {"type": "ON_RECEIVED"},
        },
        "storage": {
            "type": "sqlite",
            "data_file_path": f"{folder}/data/",
            "max_read_records_count": 1000,
            "writing_batch_size": 1000,
        },
        "grpc": {"enabled": False},
        "connectors": [{"type": "opcua", "name": "OPC-UA", "configuration": "opcua.json"}],
    }


def connector_configuration(endpoint: str) -> dict[str, object]:
    """One device of counters, subscribed by path, with the server's times."""
    return {
        "server": {
            "url": endpoint,
            "timeoutInMillis": 5000,
            "scanPeriodInMillis": 3_600_000,
            "enableSubscriptions": True,
            "subCheckPeriodInMillis": PUBLISHING_MILLISECONDS,
            "subDataMaxBatchSize": 1000,
            "sessionTimeoutInMillis": 120_000,
            "showMap": False,
            "security": "None",
            "identity": {"type": "anonymous"},
        },
        "mapping": [
            {
                "deviceNodeSource": "path",
                "deviceNodePattern": r"Root\.Objects\.Counters",
                "deviceInfo": {
                    "deviceNameExpression": "Counters",
                    "deviceNameExpressionSource": "constant",
                    "deviceProfileExpression": "default",
                    "deviceProfileExpressionSource": "constant",
                },
                "attributes": [],
                "timeseries": [
                    {
                        "key": f"c{number}",
                        "type": "path",
                        "value": f"${{c{number}}}",
                        "timestampLocation": "sourceTimestamp",
                    }
                    for number in range(COUNTERS)
                ],
                "rpc_methods": [],
                "attributes_updates": [],
            }
        ],
    }
