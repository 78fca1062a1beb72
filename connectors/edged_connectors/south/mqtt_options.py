"""What can be said of an MQTT source and of its signals."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field as Option
from pydantic import field_validator, model_validator

from edged.ports import MARKS_KEPT
from edged.settings import BrokerSettings, Seconds, Section
from edged.types import Signal
from edged_connectors.south.mqtt_messages import ResultTarget
from edged_connectors.south.mqtt_payload import JsonPath, check_filter
from edged_connectors.south.mqtt_sparkplug import Point

SESSION_FOR_EVER = 0xFFFFFFFF


class Protocol(StrEnum):
    """Versions of MQTT."""

    V5 = "5"
    V311 = "3.1.1"


class ResultOptions(Section):
    """Messages that each say of one inspected unit whether it passed: they become quality results."""

    topic: str
    unit_path: str = "$.unit_id"
    passed_path: str = "$.passed"
    defect_path: str | None = Option(default="$.defect_type", description="type of the defect, if any")

    _topic = field_validator("topic")(check_filter)

    @field_validator("unit_path", "passed_path", "defect_path")
    @classmethod
    def _paths(cls, text: str | None) -> str | None:
        if text is not None:
            JsonPath.parse(text)
        return text

    def target(self) -> ResultTarget:
        """The same, ready for use."""
        defect = None if self.defect_path is None else JsonPath.parse(self.defect_path)
        return ResultTarget(self.topic, JsonPath.parse(self.unit_path), JsonPath.parse(self.passed_path), defect)


class SparkplugOptions(Section):
    """How edge nodes are dealt with whose metrics are addressed by group, node, device and metric."""

    rebirth_interval_seconds: Seconds = Option(
        default=10.0, description="a node whose birth is missing is asked for it no more often than this"
    )


class MqttOptions(Section):
    """One broker. For lossless ingest it must keep sessions: persistence true, max_queued_messages 0."""

    broker: BrokerSettings = BrokerSettings()
    protocol: Protocol = Protocol.V5
    client_id: Annotated[str, Option(min_length=1, description="fixed, and of this daemon alone")]
    session_expiry_seconds: Annotated[int, Option(ge=1, le=SESSION_FOR_EVER)] = 7 * 86_400
    receive_maximum: Annotated[int, Option(ge=1, le=MARKS_KEPT // 2)] = 1000
    keep_alive_seconds: Annotated[int, Option(ge=1, le=3600)] = 5
    connect_timeout_seconds: Annotated[float, Option(gt=0, le=60)] = 5.0
    timestamp_path: str | None = Option(default=None, description="JSON path of an ISO 8601 or epoch time")
    results: ResultOptions | None = None
    sparkplug: SparkplugOptions = SparkplugOptions()
    max_payload_bytes: Annotated[int, Option(ge=1, le=268_435_455)] = 262_144

    @field_validator("timestamp_path")
    @classmethod
    def _path(cls, text: str | None) -> str | None:
        if text is not None:
            JsonPath.parse(text)
        return text


class MqttAddress(Section):
    """Where one signal is: a topic, with a path into its JSON or none for plain values; or a Sparkplug B metric."""

    topic: str | None = Option(default=None, description="may hold + and #")
    path: str = Option(default="", description="such as $.values.speed or $.zones[0]; empty: the payload is the value")
    group: str | None = Option(default=None, description="Sparkplug group of the edge node")
    node: str | None = Option(default=None, description="Sparkplug edge node")
    device: str | None = Option(default=None, description="Sparkplug device; none for a metric of the node itself")
    metric: str | None = Option(default=None, description="name of the Sparkplug metric, as its birth tells it")

    @field_validator("topic")
    @classmethod
    def _topic(cls, text: str | None) -> str | None:
        return None if text is None else check_filter(text)

    @field_validator("path")
    @classmethod
    def _path(cls, text: str) -> str:
        if text:
            JsonPath.parse(text)
        return text

    @field_validator("group", "node", "device")
    @classmethod
    def _level(cls, text: str | None) -> str | None:
        if text is not None and (not text or set(text) & set("/+#\0")):
            raise ValueError(f"one level of a topic, without / + #, got {text!r}")
        return text

    @model_validator(mode="after")
    def _one_format(self) -> MqttAddress:
        sparkplug = {"group": self.group, "node": self.node, "device": self.device, "metric": self.metric}
        given = [name for name, value in sparkplug.items() if value is not None]
        if self.topic is not None and given:
            raise ValueError(f"either a topic or a Sparkplug metric, got topic and {', '.join(given)}")
        missing = [name for name in ("group", "node", "metric") if not sparkplug[name]]
        if self.topic is None and missing:
            wanted = "topic, or group, node and metric" if not given else ", ".join(missing)
            raise ValueError(f"missing: {wanted}")
        if self.path and self.topic is None:
            raise ValueError("path leads into JSON; a Sparkplug metric is found by its name")
        return self

    def point(self, signal: Signal) -> Point | None:
        """The Sparkplug metric, if it is one."""
        if self.group is None or self.node is None or self.metric is None:
            return None
        return Point(signal.path, signal.type, self.group, self.node, self.device or "", self.metric)
