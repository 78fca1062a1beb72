"""Forming of the ribbon: mass balance of the drawn glass. Speeds in m/min, lengths in mm, flow in kg/s."""

from __future__ import annotations

from edged_physics.constants import DENSITY

SECONDS_PER_MINUTE = 60.0
MILLIMETRES_PER_METRE = 1000.0

TRANSPORT_DELAY_SECONDS = 7.0
"""From the drawing rolls to the thickness gauge (GLS26: belt 5-10 s)."""

THICKNESS_LAG_SECONDS = 1.0
"""Attenuation in the soft ribbon and the gauge's own filter."""


def thickness(pull_rate: float, belt_speed: float, ribbon_width: float) -> float:
    """Ribbon thickness in mm that a pull rate (kg/s) gives at a belt speed (m/min) and width (mm): m / (rho v w)."""
    metres_per_second = belt_speed / SECONDS_PER_MINUTE
    area = pull_rate / (DENSITY * metres_per_second)
    return area * MILLIMETRES_PER_METRE**2 / ribbon_width


def pull_rate_of(thickness_mm: float, belt_speed: float, ribbon_width: float) -> float:
    """Glass in kg/s that the ribbon carries away: the inverse of `thickness`."""
    area = thickness_mm * ribbon_width / MILLIMETRES_PER_METRE**2
    return area * DENSITY * belt_speed / SECONDS_PER_MINUTE


def thickness_gain(pull_rate: float, belt_speed: float, ribbon_width: float) -> float:
    """Change of thickness per change of belt speed, mm per m/min: -h / v."""
    return -thickness(pull_rate, belt_speed, ribbon_width) / belt_speed


def forming_seconds(belt_speed: float, forming_length: float) -> float:
    """Time the glass has to take its shape over a length in m."""
    return forming_length / (belt_speed / SECONDS_PER_MINUTE)
