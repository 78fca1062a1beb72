"""Recordings in CSV files: the first column is `time`, every other one a signal with its unit: `line/speed [m/min]`."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from edged.errors import ConfigError
from edged_control.identification.recording import Recording
from edged_control.process_model.linear import Port
from edged_control.process_model.state_space import Array

UNEVEN_SHARE = 0.1
"""By so much of the period a sample may be early or late."""
MOST_FAULTS = 20
"""More are counted, not listed."""
HEADER = re.compile(r"^(?P<signal>[^\[\]]+?)\s*(?:\[(?P<unit>[^\[\]]*)\])?$")


def read_recording(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Recording:
    """Reads CSV with columns `time` (seconds or ISO 8601) and `signal [unit]`. Raises ConfigError with each fault."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise ConfigError([f"{path}: cannot be read: {fault}"]) from fault
    if not rows or not rows[0]:
        raise ConfigError([f"{path}: is empty"])
    names = (*inputs, *outputs)
    ports = [_port(cell) for cell in rows[0]]
    faults = _header_faults(path, ports, names)
    if faults:
        raise ConfigError(faults)
    signals = [port.signal for port in ports]
    chosen = [signals.index(name) for name in names]
    times, values = _numbers(path, rows, chosen)
    split = len(inputs)
    return Recording(
        period_seconds=_period(path, times),
        input_ports=tuple(ports[at] for at in chosen[:split]),
        output_ports=tuple(ports[at] for at in chosen[split:]),
        inputs=values[:, :split],
        outputs=values[:, split:],
    )


def _port(cell: str) -> Port:
    match = HEADER.match(cell.strip())
    return Port(match["signal"], match["unit"] or "1") if match else Port(cell, "1")


def _header_faults(path: Path, ports: Sequence[Port], names: Sequence[str]) -> list[str]:
    signals = [port.signal for port in ports[1:]]
    asked, there = Counter(names), Counter(signals)
    faults = [
        f"{path}:1: there is no column {name}, there are {', '.join(signals) or 'none'}"
        for name in asked
        if name not in there
    ]
    faults += [f"{name} is asked for {count} times" for name, count in asked.items() if count > 1]
    faults += [f"{path}:1: there are {there[name]} columns {name}" for name in asked if there[name] > 1]
    if ports[0].signal != "time":
        faults.append(f"{path}:1: the first column must be time, got {ports[0].signal or 'none'}")
    return faults


def _numbers(path: Path, rows: Sequence[Sequence[str]], columns: Sequence[int]) -> tuple[Array, Array]:
    times, values, faults = [], [], []
    for line, row in enumerate(rows[1:], start=2):
        try:
            times.append(_time(row[0]))
            values.append([_number(rows[0], row, column) for column in columns])
        except (ValueError, IndexError) as fault:
            faults.append(f"{path}:{line}: {fault}")
    if len(faults) > MOST_FAULTS:
        faults = [*faults[:MOST_FAULTS], f"{path}: and {len(faults) - MOST_FAULTS} lines more"]
    if faults:
        raise ConfigError(faults)
    return np.array(times, dtype=np.float64), np.array(values, dtype=np.float64).reshape(len(times), len(columns))


def _number(header: Sequence[str], row: Sequence[str], column: int) -> float:
    """The cell as a finite number. Raises ValueError, which names the column."""
    name = header[column].strip()
    if column >= len(row):
        raise ValueError(f"{name}: the row ends before it")
    try:
        number = float(row[column])
    except ValueError:
        raise ValueError(f"{name}: must be a number, got {row[column]!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: must be finite, got {row[column]!r}: cut the recording there")
    return number


def _time(cell: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = datetime.fromisoformat(cell.strip()).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(f"time: must be finite, got {cell!r}")
    return seconds


def _period(path: Path, times: Array) -> float:
    steps = np.diff(times)
    period = float(np.median(steps)) if len(steps) else math.nan
    if not period > 0.0:
        raise ConfigError([f"{path}: time must rise from row to row"])
    uneven = np.flatnonzero(np.abs(steps - period) > UNEVEN_SHARE * period)
    if len(uneven):
        line, step = int(uneven[0]) + 3, float(steps[uneven[0]])
        raise ConfigError(
            [f"{path}:{line}: {step:.6g} s after the row before, all others {period:.6g} s: cut it there"]
        )
    return period
