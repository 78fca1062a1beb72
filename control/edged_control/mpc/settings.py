"""From a model to the settings of an MPC and its PID by a tuning rule, and from settings to the controller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edged.controller_settings import MpcInputSettings, MpcOutputSettings, MpcSettings, PidSettings
from edged_control.mpc.disturbances import DisturbanceTuning
from edged_control.mpc.horizon import OutputLimits
from edged_control.mpc.linear import InputLimits, Mpc, MpcTuning
from edged_control.mpc.loads import Load
from edged_control.mpc.multiple import Deviations, MultipleModelMpc, variants_of
from edged_control.process_model.linear import Channel, ProcessModel

MOVE_SHARE, REFERENCE_SHARE, DISTURBANCE_LAG_SHARE, SETTLING_SHARE, HORIZON_SPANS = 0.1, 0.4, 0.5, 0.2, 2.5
"""The rule that was tuned in `python -m bench control`: shares of dead time and lags together, and of the lags."""
PERIODS_PER_SPAN = 25
ROUND_DIGITS = 3
PID_FILTER_SHARE = 0.3
"""Of the dead time: heavier than what costs a PID least, for a calm output."""


def build(
    settings: MpcSettings,
    model: ProcessModel,
    limits: Sequence[InputLimits],
    period_seconds: float,
    noises: Sequence[float] = (),
) -> Mpc | MultipleModelMpc:
    """The controller; `noises` are the deviations that the identification left. Raises UnusableModel."""
    tuning = MpcTuning(
        period_seconds=period_seconds,
        horizon_seconds=settings.horizon_seconds,
        error_scales=tuple(output.error_scale for output in settings.outputs),
        move_seconds=tuple(entry.move_seconds for entry in settings.inputs),
        reference_seconds=tuple(output.reference_seconds for output in settings.outputs),
        disturbances=tuple(
            DisturbanceTuning(output.disturbance_lag_seconds, output.disturbance_settling_seconds)
            for output in settings.outputs
        ),
        loads=tuple(
            Load(entry.load_per_hour, entry.load_jump) for entry in settings.inputs if entry.load_per_hour is not None
        ),
        noises=tuple(noises),
    )
    bands = [_band(output.low, output.high) for output in settings.outputs]
    variants = variants_of(
        model, [Deviations(entry.gain_factors, entry.dead_time_factors) for entry in settings.inputs]
    )
    if len(variants) == 1:
        return Mpc(model, tuning, limits, bands)
    return MultipleModelMpc(variants, tuning, limits, bands)


def proposed(model: ProcessModel, path: Path, error_scales: Sequence[float], period_seconds: float) -> MpcSettings:
    """Settings by the tuning rule: each signal by the path of its loop, the PID for the first loop at that period."""
    rows, columns = _own_paths(model)
    slowest = max(map(_span, rows))
    return MpcSettings(
        model=path,
        horizon_seconds=_rounded(max(HORIZON_SPANS * slowest, model.settling_seconds)),
        inputs=tuple(
            MpcInputSettings(signal=_below_line(port.signal), move_seconds=_rounded(MOVE_SHARE * _span(path)))
            for port, path in zip(model.inputs, columns, strict=True)
        ),
        outputs=tuple(
            MpcOutputSettings(
                signal=_below_line(port.signal),
                error_scale=scale,
                reference_seconds=_rounded(REFERENCE_SHARE * _span(path)),
                disturbance_lag_seconds=_rounded(DISTURBANCE_LAG_SHARE * _lags(path)),
                disturbance_settling_seconds=_rounded(SETTLING_SHARE * _span(path)),
            )
            for port, path, scale in zip(model.outputs, rows, error_scales, strict=True)
        ),
        fallback=proposed_pid(model, 0, period_seconds),
    )


def proposed_pid(model: ProcessModel, output: int, period_seconds: float) -> PidSettings:
    """The PID below the MPC for the loop of one output."""
    return _simc(_own_paths(model)[0][output], period_seconds)


def proposed_period(model: ProcessModel) -> float:
    """A period in seconds at which nothing of the fastest output is missed."""
    return _rounded(min(_span(_fastest(row)) for row in model.channels) / PERIODS_PER_SPAN)


def _simc(channel: Channel, period_seconds: float) -> PidSettings:
    """The PI controller of one path (Skogestad, SIMC, 2003; half rule for the second lag), tight as its dead time."""
    lag, second = sorted((channel.lag_seconds, channel.second_lag_seconds), reverse=True)
    dead_time = channel.dead_time_seconds + (second + period_seconds) / 2.0
    lag += second / 2.0
    return PidSettings(
        gain=_rounded(lag / (channel.gain * 2.0 * dead_time)),
        integral_seconds=_rounded(min(lag, 8.0 * dead_time)),
        filter_seconds=_rounded(PID_FILTER_SHARE * dead_time),
    )


def _own_paths(model: ProcessModel) -> tuple[list[Channel], list[Channel]]:
    """By output and by input: those in the same place of a square model are a loop, else each has its fastest path."""
    own = [row[i] for i, row in enumerate(model.channels) if i < len(row) and row[i].gain]
    if len(own) == len(model.inputs) == len(model.outputs):
        return own, own
    return [_fastest(row) for row in model.channels], [_fastest(row) for row in zip(*model.channels, strict=True)]


def _fastest(channels: Sequence[Channel]) -> Channel:
    moving = [channel for channel in channels if channel.gain]
    return min(moving or channels, key=_span)


def _span(channel: Channel) -> float:
    return channel.dead_time_seconds + _lags(channel)


def _lags(channel: Channel) -> float:
    return channel.lag_seconds + channel.second_lag_seconds


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.{ROUND_DIGITS}g}")


def _below_line(signal: str) -> str:
    """A configuration leaves out the line."""
    line, _, rest = signal.partition("/")
    return rest if "/" in rest else f"{line}/{rest}"


def _band(low: float | None, high: float | None) -> OutputLimits:
    anywhere = OutputLimits()
    return OutputLimits(anywhere.low if low is None else low, anywhere.high if high is None else high)
