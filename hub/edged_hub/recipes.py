"""What a training profile is made of: the features that the model sees and how it learns."""

from __future__ import annotations

from dataclasses import dataclass

from edged_inference.features import Feature, Statistic


@dataclass(frozen=True, slots=True)
class Recipe:
    """One profile. `stride_seconds` parts the windows that are learnt from."""

    name: str
    version: str
    features: tuple[Feature, ...]
    stride_seconds: int
    trees: int
    depth: int
    learning_rate: float
    period_seconds: float


def _feature(signal: str, statistic: Statistic, window_seconds: int = 30) -> Feature:
    return Feature(signal=signal, statistic=statistic, window_seconds=window_seconds)


DEMO = Recipe(
    name="defect_risk",
    version="1.0.0",
    features=(
        _feature("furnace/temperature", Statistic.MEAN),
        _feature("furnace/throat_temperature", Statistic.MEAN),
        _feature("forming/belt_speed", Statistic.MEAN),
        _feature("forming/mould_temperature", Statistic.MEAN),
        _feature("forming/forming_pressure", Statistic.MEAN),
        _feature("forming/forming_pressure", Statistic.MAXIMUM),
        _feature("forming/forming_pressure", Statistic.MINIMUM),
        _feature("forming/thickness", Statistic.STANDARD_DEVIATION),
        _feature("annealing/cooling_rate", Statistic.MEAN),
        _feature("annealing/cooling_rate", Statistic.MAXIMUM),
        _feature("annealing/residual_stress", Statistic.MEAN),
        _feature("inspection/defect_rate", Statistic.MEAN),
    ),
    stride_seconds=5,
    trees=60,
    depth=3,
    learning_rate=0.1,
    period_seconds=1.0,
)

RECIPES = {"demo": DEMO}
