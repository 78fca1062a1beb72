"""Whether a loop is one for a nonlinear MPC of a furnace, and whether the libraries for it are here."""

from __future__ import annotations

from importlib.util import find_spec

from edged.config import LineConfig
from edged.controller_settings import NonlinearMpcSettings
from edged.errors import MissingLibrary
from edged.faults import Faults
from edged.settings import LoopSettings
from edged_control.mpc.furnace_model import NONLINEAR_EXTRA, NONLINEAR_LIBRARIES, PLAN_STEPS
from edged_control.mpc.group import Misfit

CELSIUS = "degC"
SHORTEST_PERIOD_SECONDS = 5.0
"""It gives a deadline of a second: a nonlinear plan takes some hundredths, on a loaded box more."""


def furnace_misfits(loop: LoopSettings, settings: NonlinearMpcSettings, config: LineConfig) -> list[Misfit]:
    """Where and why a loop is none for a nonlinear MPC: other units, or too fast for its plan."""
    period, faults = loop.period_seconds, list[Misfit]()
    for field in ("process_value", "output"):
        unit = config.signals[config.full(getattr(loop, field))].unit
        if unit != CELSIUS:
            faults.append(((field,), f"must be in {CELSIUS} for a nonlinear MPC, got a signal in {unit!r}"))
    if period < SHORTEST_PERIOD_SECONDS:
        text = f"must be at least {SHORTEST_PERIOD_SECONDS:g} s for a nonlinear MPC, got {period:g}"
        faults.append((("period_seconds",), text))
    if settings.horizon_seconds < PLAN_STEPS * period:
        text = f"must be at least {PLAN_STEPS} periods, {PLAN_STEPS * period:g} s, got {settings.horizon_seconds:g}"
        faults.append((("controller", "horizon_seconds"), text))
    if (dead_time := settings.furnace.throat_dead_time_seconds) > settings.horizon_seconds:
        text = f"must be at most the horizon, {settings.horizon_seconds:g} s, got {dead_time:g}"
        faults.append((("controller", "furnace", "throat_dead_time_seconds"), text))
    return faults


def library_faults(config: LineConfig) -> Faults:
    """Which loops need a library that is not installed here. A daemon runs without it, on the rungs below."""
    faults, control = Faults(), config.settings.control
    for position, loop in enumerate(control.loops if control else ()):
        if isinstance(loop.controller, NonlinearMpcSettings):
            for library in NONLINEAR_LIBRARIES:
                if find_spec(library) is None:
                    where = ("control", "loops", position, "controller", "kind")
                    faults.add(config.control, where, str(MissingLibrary(library, NONLINEAR_EXTRA)))
    return faults
