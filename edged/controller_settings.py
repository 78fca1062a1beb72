"""What a configuration says of the controller of a loop: a PID, or an MPC, its own or shared, with another below."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from edged.section import Finite, Name, NotNegative, Positive, Seconds, Section, SignalName

Share = Annotated[float, Field(gt=0, le=1)]
Lag = Annotated[float, Field(ge=1, allow_inf_nan=False)]
"""A lag that can be followed with steps of half a second."""
MORE = Field(gt=1, le=5)
"""A smaller gain makes an MPC bolder, and a wrong dead time looks like one: only greater gains are looked for."""
OTHER = Field(ge=0.2, le=5)
GainFactors = Annotated[tuple[Annotated[float, MORE], ...], Field(max_length=6)]
DeadTimeFactors = Annotated[tuple[Annotated[float, OTHER], ...], Field(max_length=6)]
MOST_MODELS = 36
"""Each follows the plant in every period, and takes the solver its time to set up."""


class PidSettings(Section):
    """An ISA-form PID: gain in output units per process unit; negative when the output lowers the process value."""

    kind: Literal["pid"] = "pid"
    gain: Finite
    integral_seconds: Seconds
    derivative_seconds: NotNegative = 0.0
    filter_seconds: NotNegative = 1.0
    set_point_rate_per_second: Positive | None = Field(
        default=None, description="how fast a new set-point is approached, in process units; at once if not given"
    )


class MpcOutputSettings(Section):
    """One controlled output of an MPC."""

    signal: SignalName
    error_scale: Positive = Field(description="an error that hurts as much as this much of any other output, its unit")
    reference_seconds: NotNegative = Field(description="time constant towards the set-point; 0 is as fast as it goes")
    disturbance_lag_seconds: NotNegative = Field(description="how slowly disturbances come in; 0 is at once")
    disturbance_settling_seconds: Seconds = Field(description="in which time their estimate has caught up")
    low: Finite | None = Field(default=None, description="left only where nothing else is left")
    high: Finite | None = None


class MpcInputSettings(Section):
    """One manipulated input of an MPC; its limits are those of the gate."""

    signal: SignalName
    move_seconds: NotNegative = Field(description="over which time a step is spread where nothing presses")
    load_per_hour: Positive | None = Field(
        default=None, description="how far an unseen load of this input walks in an hour, in its unit; for all or none"
    )
    load_jump: NotNegative = Field(
        default=0.0, description="about how far that load may jump at once, in its unit; 0: it never does"
    )
    gain_factors: GainFactors = Field(
        default=(), description="by which the gains of this input may be greater than the model says: the plant tells"
    )
    dead_time_factors: DeadTimeFactors = Field(
        default=(), description="by which its dead times may differ from the model"
    )


class MpcSettings(Section):
    """A linear MPC on an identified model. Inputs and outputs are those of the artefact, in its order."""

    kind: Literal["mpc"] = "mpc"
    model: Path = Field(description="artefact of `edged mpc identify`, relative to this file")
    horizon_seconds: Seconds
    inputs: Annotated[tuple[MpcInputSettings, ...], Field(min_length=1)]
    outputs: Annotated[tuple[MpcOutputSettings, ...], Field(min_length=1)]
    fallback: PidSettings = Field(description="moves the output in every cycle in which the MPC can't")

    @model_validator(mode="after")
    def _apart(self) -> MpcSettings:
        names = [*(entry.signal for entry in self.inputs), *(output.signal for output in self.outputs)]
        if len(set(names)) != len(names):
            raise ValueError(f"every signal must be named once, got {', '.join(names)}")
        if len({entry.load_per_hour is None for entry in self.inputs}) > 1:
            raise ValueError("load_per_hour must be given for all inputs or for none")
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> MpcSettings:
        """Jumps and models that differ are told by what is seen of loads."""
        asked = [
            entry.signal for entry in self.inputs if entry.load_jump or entry.gain_factors or entry.dead_time_factors
        ]
        if asked and self.inputs[0].load_per_hour is None:
            raise ValueError(
                f"load_jump, gain_factors and dead_time_factors need load_per_hour, which {asked[0]} does not have"
            )
        for entry in self.inputs:
            for name in ("gain_factors", "dead_time_factors"):
                factors = getattr(entry, name)
                if len({1.0, *factors}) != len(factors) + 1:
                    got = ", ".join(f"{factor:g}" for factor in factors)
                    raise ValueError(f"{name} of {entry.signal} must differ from 1 and from each other, got {got}")
        if self.models > MOST_MODELS:
            raise ValueError(f"gain_factors and dead_time_factors may make {MOST_MODELS} models, got {self.models}")
        return self

    @property
    def models(self) -> int:
        """How many models the plant may be."""
        return math.prod((1 + len(entry.gain_factors)) * (1 + len(entry.dead_time_factors)) for entry in self.inputs)


class SharedMpcSettings(Section):
    """One MPC moves several outputs: the loop that is named describes it, this one has its part in it."""

    kind: Literal["shared_mpc"] = "shared_mpc"
    loop: Name = Field(description="the loop whose controller is the MPC")
    fallback: PidSettings = Field(description="moves the output in every cycle in which the MPC can't")


class FurnaceSettings(Section):
    """A furnace whose PLC holds the crown at a set-point: two lumps, crown and melt, between which heat radiates."""

    crown_heat_capacity_joules_per_kelvin: Positive = Field(description="lining and combustion space")
    melt_mass_kilograms: Positive
    melt_area_square_metres: Positive = Field(description="that the crown radiates to")
    emissivity: Share
    burner_efficiency: Share = Field(description="share of the released heat that stays in the furnace")
    crown_loss_watts_per_kelvin: NotNegative
    melt_loss_watts_per_kelvin: NotNegative
    pull_rate_kilograms_per_second: Positive
    ambient_celsius: Finite = 25.0
    controller_gain_watts_per_kelvin: Positive = Field(description="of the PLC's PI controller of the crown")
    controller_integral_seconds: Seconds
    burner_lag_seconds: Lag
    power_limit_watts: Positive = Field(description="the plan does not ask for more")
    throat_lag_seconds: Lag = Field(description="from the melt to the gauge of the process value")
    throat_dead_time_seconds: NotNegative = 0.0
    throat_drop_kelvin: Finite = Field(default=0.0, description="what the glass loses on that way")


def _kind(value: Any) -> Any:
    """A controller without a kind is a PID."""
    if isinstance(value, BaseModel):
        return getattr(value, "kind", None)
    return value.get("kind", "pid") if isinstance(value, dict) else "pid"


class NonlinearMpcSettings(Section):
    """A nonlinear MPC of a furnace's glass temperature; the output of its loop is the set-point of the crown."""

    kind: Literal["nonlinear_mpc"]
    furnace: FurnaceSettings
    residual_kelvin: Positive = Field(description="standard deviation of what the gauge shows beside the model")
    horizon_seconds: Seconds
    move_seconds: NotNegative = Field(description="over which time a step is spread where nothing presses")
    reference_seconds: NotNegative = Field(description="time constant towards the set-point; 0 is as fast as it goes")
    disturbance_lag_seconds: NotNegative = Field(description="how slowly disturbances come in; 0 is at once")
    disturbance_settling_seconds: Seconds = Field(description="in which time their estimate has caught up")
    fallback: Annotated[
        Annotated[PidSettings, Tag("pid")] | Annotated[MpcSettings, Tag("mpc")], Discriminator(_kind)
    ] = Field(description="moves the output in every cycle in which this one can't")


CONTROLLER_KINDS = ("pid", "mpc", "shared_mpc", "nonlinear_mpc")
CONTROLLER_FIELDS = ("controller", "fallback")
"""Where one of the kinds may stand."""


ControllerSettings: TypeAlias = Annotated[
    Annotated[PidSettings, Tag("pid")]
    | Annotated[MpcSettings, Tag("mpc")]
    | Annotated[SharedMpcSettings, Tag("shared_mpc")]
    | Annotated[NonlinearMpcSettings, Tag("nonlinear_mpc")],
    Discriminator(_kind),
]
