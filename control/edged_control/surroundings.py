"""What every loop of a line shares, and what loops ask of the alarm system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edged.clock import Clock
from edged.ports import Plant, Road
from edged.settings import LineStateSettings
from edged.types import Priority, Signal
from edged_control.files import Files
from edged_control.flight.boundary import Turns
from edged_control.gate import Gate
from edged_control.memory import Memory
from edged_control.status import ControlMeters

SHED_ALARM = "control_shed"
REFUSED_ALARM = "control_refused"
OVERRIDE_ALARM = "control_local_override"
OUTSIDE_ALARM = "control_output_outside_limits"
WRITE_ALARM = "control_write"
MEMORY_ALARM = "control_memory"
WISH_ALARM = "control_wish_refused"
LEASE_ALARM = "control_lease"
LIMITS_ALARM = "control_limits"
APPROVAL_ALARM = "control_approval"
ROLLBACK_ALARM = "control_rolled_back"
FALLBACK_ALARM = "control_fallback"


class AlarmBoard(Protocol):
    """Where conditions are reported; again while it stands changes nothing. `edged.alarms.Alarms` is the real one."""

    def raise_alarm(self, name: str, source: str, priority: Priority, message: str) -> None: ...

    def clear_alarm(self, name: str, source: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every loop of a line shares."""

    line: str
    config_hash: str
    advisory: bool
    signals: Mapping[str, Signal]
    gate: Gate
    plant: Plant
    road: Road
    recorder_writable: Callable[[], bool]
    clock: Clock
    meters: ControlMeters
    lease_held: Callable[[], bool]
    memory: Memory
    files: Files
    turns: Callable[[], Turns]
    state_directory: Path
    line_state: LineStateSettings
    alarms: AlarmBoard
