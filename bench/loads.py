"""The loads of the benchmarks: how many signals change how often, and the line that takes them with everything on."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.counter_server import NAMESPACE, PERMISSIVES, PROCESS_VALUE, SET_POINT
from bench.line import LineStack
from bench.processes import PROJECT

SOURCE = "counters"
PUBLISHING_MILLISECONDS = 200
TURN_SECONDS = 0.1
SIGNALS_PER_ALARM = 10
NEVER = 1e15
"""No counter gets so far: the alarms are judged with every value and stay silent."""
MODEL = PROJECT / "configs" / "models" / "defect_risk"


@dataclass(frozen=True, slots=True)
class Load:
    """So many signals, each of which changes once per period."""

    signals: int
    period_seconds: float

    @property
    def values_per_second(self) -> float:
        return self.signals / self.period_seconds

    @property
    def groups(self) -> int:
        """Signals of a plant do not change all at once: the groups do, one after the other."""
        return max(1, round(self.period_seconds / TURN_SECONDS))

    def __str__(self) -> str:
        return f"{self.signals:,} signals, {self.values_per_second:,.0f} values/s"


SIZES = (Load(100, 1.0), Load(1_000, 1.0), Load(10_000, 1.0))


PARTS = ("alarms", "models", "control", "sparkplug", "hub")
"""Of the configuration that a line can do without."""


def write_config(
    line: LineStack, load: Load, port: int, data_directory: Path, *, without: Collection[str] = ()
) -> Path:
    """One OPC UA source of counters; alarms, a model, a PID loop, the hub and Sparkplug, but for some of PARTS."""
    config = {
        "site": "bench",
        "line": line.node,
        "data_directory": str(data_directory),
        "http": {"port": line.http_port},
        "hub": {"url": line.hub_url, "secret": {"file": str(line.secret)}},
        "sparkplug": {"brokers": [{"port": line.mqtt_port}]},
        "sources": {SOURCE: _source(load, port)},
        "alarms": [
            {"name": f"high_{number}", "signal": f"{SOURCE}/c{number}", "above": NEVER, "priority": "LOW"}
            for number in range(0, load.signals, SIGNALS_PER_ALARM)
        ],
        "models": [{"name": "defect_risk", "bundle": str(MODEL), "output": "quality/defect_probability"}],
        "control": _control(line.folder),
    }
    path = line.folder / "bench.yaml"
    kept = {name: section for name, section in config.items() if name not in without}
    path.write_text(json.dumps(kept), encoding="utf-8")
    return path


def _source(load: Load, port: int) -> dict[str, Any]:
    options = {
        "endpoint": f"opc.tcp://127.0.0.1:{port}/",
        "publishing_milliseconds": PUBLISHING_MILLISECONDS,
        "sampling_milliseconds": max(10, round(load.period_seconds * 500)),
    }
    signals = [_signal(f"{SOURCE}/c{number}", f"c{number}") for number in range(load.signals)]
    for number, (name, unit) in enumerate(model_inputs().items()):
        signals.append(_signal(name, f"c{number}", unit=unit))
    signals.append(_signal(f"loop/{PROCESS_VALUE}", PROCESS_VALUE))
    signals.append(_signal(f"loop/{SET_POINT}", SET_POINT, unit="%", low=0, high=100, writable=True))
    signals += [_signal(f"loop/{name}", name, type="bool") for name in PERMISSIVES]
    return {"kind": "opcua", "options": options, "signals": signals}


def model_inputs() -> dict[str, str]:
    """The signals that the shipped model looks at, with their units; the first counters stand in for them."""
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    return {one["feature"]["signal"]: one["unit"] for one in manifest["inputs"]}


def _signal(name: str, node: str, **more: object) -> dict[str, Any]:
    return {"name": name, "address": {"node": f"nsu={NAMESPACE};s={node}"}, **more}


def _control(folder: Path) -> dict[str, Any]:
    """One PID loop that writes; its limits are the ceiling too."""
    limit = {"signal": f"loop/{SET_POINT}", "unit": "%", "low": 0, "high": 100, "rate_per_second": 5}
    limits = [{**limit, "approval_threshold": 50}]
    ceiling = folder / "ceiling.yaml"
    ceiling.write_text(json.dumps({"limits": limits}), encoding="utf-8")
    loop = {
        "name": "level",
        "process_value": f"loop/{PROCESS_VALUE}",
        "output": f"loop/{SET_POINT}",
        "readback": f"loop/{SET_POINT}",
        "set_point": 50.0,
        "good_cycles": 3,
        "permissives": [{"signal": f"loop/{name}"} for name in PERMISSIVES],
        "controller": {"kind": "pid", "gain": 0.1, "integral_seconds": 30},
    }
    return {"advisory": False, "ceiling": str(ceiling), "limits": limits, "loops": [loop]}
