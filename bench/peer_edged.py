"""edged as a contestant: read at the broker by its Sparkplug data, and in the hub by its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bench.checker import read_rows
from bench.contestant import COUNTERS, GATEWAY, PUBLISHING_MILLISECONDS, Value, counter_number
from bench.judge import NANOSECONDS_PER_MILLISECOND
from bench.line import LineStack
from bench.peer_source import NAMESPACE
from bench.processes import Process, program
from bench.sparkplug_host import BIRTH_KINDS, DATA_KINDS
from edged_connectors.north.sparkplug_pb2 import Payload

SOURCE = "counters"
SAMPLING_MILLISECONDS = 50


class Edged:
    """The daemon with its outbox, the hub and Sparkplug."""

    name = "edged"
    access_list = ""

    def __init__(self) -> None:
        self._counters: dict[int, int] = {}

    def prepare(self) -> None:
        """It is here."""

    def start(self, line: LineStack, endpoint: str, core: int) -> Process:
        """The daemon, and on the first start its hub."""
        if "hub" not in line.processes:
            line.start_hub()
        path = line.folder / "edged.yaml"
        path.write_text(json.dumps(config(line, endpoint)), encoding="utf-8")
        return line.start(GATEWAY, [program("edged"), "run", str(path)], core=core)

    def decode(self, topic: str, payload: bytes) -> Sequence[tuple[int, int]]:
        """Births name the aliases; their values say again what is known and are not counted. Data is by alias."""
        parts = topic.split("/")
        kind = parts[2] if parts[0] == "spBv1.0" and len(parts) > 3 else ""
        if kind in BIRTH_KINDS:
            for metric in Payload.FromString(payload).metrics:
                number = counter_number(metric.name)
                if number is not None:
                    self._counters[metric.alias] = number
        if kind not in DATA_KINDS:
            return ()
        metrics = Payload.FromString(payload).metrics
        return [
            (self._counters[metric.alias], int(getattr(metric, metric.WhichOneof("value"))))
            for metric in metrics
            if metric.alias in self._counters and metric.WhichOneof("value") is not None
        ]

    def held_elsewhere(self, line: LineStack) -> Mapping[str, Sequence[Value]]:
        """The hub's rows; what the daemon marks as said again after a loss is not counted."""
        rows = read_rows(line.hub_data / "hub.db", line.node)
        return {
            "edged, hub": [
                Value(number, int(row.value), row.committed / NANOSECONDS_PER_MILLISECOND)
                for number in range(COUNTERS)
                for row in rows.get(f"{line.node}/{SOURCE}/c{number}", ())
                if isinstance(row.value, float | int) and not row.restated
            ]
        }

    def close(self) -> None:
        """Nothing helped it."""


def config(line: LineStack, endpoint: str) -> dict[str, object]:
    """One OPC UA source, the hub and Sparkplug."""
    names = [f"c{number}" for number in range(COUNTERS)]
    signals = [{"name": f"{SOURCE}/{name}", "address": {"node": f"nsu={NAMESPACE};s={name}"}} for name in names]
    options = {
        "endpoint": endpoint,
        "publishing_milliseconds": PUBLISHING_MILLISECONDS,
        "sampling_milliseconds": SAMPLING_MILLISECONDS,
    }
    return {
        "site": "bench",
        "line": line.node,
        "data_directory": str(line.edge_data),
        "http": {"port": line.http_port},
        "hub": {"url": line.hub_url, "secret": {"file": str(line.secret)}},
        "sparkplug": {"brokers": [{"port": line.mqtt_port}]},
        "sources": {SOURCE: {"kind": "opcua", "options": options, "signals": signals}},
    }
