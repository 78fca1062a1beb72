"""What happened in the control scenes of the demo, and when: played by `demo_scenes`, judged by `demo_evidence`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import nan

LOOP = "thickness"
BELT = "line_a/forming/belt_speed_setpoint"
THRESHOLD = 5.0
"""m/min: so far the belt may move from what is approved; in configs/ceiling-demo.yaml."""


class Moment(StrEnum):
    """What marks a scene."""

    KILLED = "the solver is killed (SIGKILL)"
    RETURNED = "the MPC leads again"
    WAITS = "a move beyond 5 m/min waits"
    APPROVED = "an engineer approves it"
    TURNED = "an operator sets the belt at the plant"
    GIVEN_BACK = "the belt is given back"


@dataclass
class Story:
    """Wall times in ns UTC. `operator_speed` is what the operator set at the plant, m/min; NaN before."""

    began: int
    moments: dict[Moment, int] = field(default_factory=dict)
    operator_speed: float = nan
