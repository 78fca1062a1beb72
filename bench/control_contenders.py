"""Who is compared: a filtered PID tuned by the SIMC rules, a pair of them with a decoupler, and the linear MPC."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.control_plants import Case, Path
from edged_control.gate import credit_cap
from edged_control.ladder.pid import Pid, PidTuning
from edged_control.mpc.disturbances import DisturbanceTuning
from edged_control.mpc.linear import Fault, InputLimits, MpcTuning
from edged_control.mpc.loads import Load
from edged_control.mpc.multiple import Deviations, MultipleModelMpc, variants_of
from edged_control.process_model.linear import Channel, Port, ProcessModel

FILTER_SHARE = 0.1
"""Time constant of the PID's measurement filter as a share of the closed-loop time constant."""
SMALLEST_TIGHTNESS_PERIODS = 1.0
HORIZON_SPANS = 2.5
NONE = Deviations()


@dataclass(frozen=True, slots=True)
class Dials:
    """A tuning of the MPC without units: times as shares of the natural unit of time of the path they belong to."""

    move: float
    reference: float
    disturbance_lag: float = 0.0
    disturbance_settling: float = 1.0
    load: Load | None = None
    """Of the input, in place of the two above; given for both or for none."""
    deviations: Deviations = NONE
    """What else its paths may be than the model says."""


class SimcPid:
    """SIMC with tau_c = theta (Skogestad 2003): series form for two lags, turned into ISA form."""

    def __init__(self, case: Case, share: float = FILTER_SHARE) -> None:
        entry, path = case.inputs[0], case.paths[0][0]
        self._pid = Pid(simc(path, case.period, entry.low, entry.high, entry.rate_per_second, share))
        self._period = case.period

    def propose(self, set_points: Sequence[float], measured: Sequence[float], applied: Sequence[float]) -> list[float]:
        """The output of the PID, tracking what was applied."""
        value = self._pid.update(set_points[0], measured[0], applied[0], self._period).value
        assert value is not None
        return [value]


class PidPair:
    """Furnace to glass temperature, belt to thickness. `decoupled`: the belt also makes good what the furnace does.

    The other direction cannot be decoupled: the furnace is too slow to make good what the belt does. It is tuned for
    the gain that it has while the belt holds the thickness.
    """

    def __init__(self, case: Case, *, decoupled: bool, shares: Sequence[float]) -> None:
        self._case = case
        (first, back), (cross, own) = case.paths
        closed = replace(first, gain=first.gain - back.gain * cross.gain / own.gain)
        self._pids = [
            Pid(simc(path, case.period, -math.inf, math.inf, math.inf, share))
            for path, share in zip((closed, own), shares, strict=True)
        ]
        self._gain = -cross.gain / own.gain if decoupled else 0.0
        self._lags = (cross.lag, cross.second_lag)
        length = 1 + round((cross.dead_time - own.dead_time) / case.period)
        self._line = deque([0.0] * length, maxlen=length)
        self._state = [0.0, 0.0]
        self._forward = 0.0

    def propose(self, set_points: Sequence[float], measured: Sequence[float], applied: Sequence[float]) -> list[float]:
        """The outputs of both; the second PID knows nothing of the feed-forward and tracks what remains without it."""
        before, self._forward = self._forward, self._ahead(applied[0] - self._case.inputs[0].start)
        wishes = []
        for at, (past, shift) in enumerate(((0.0, 0.0), (before, self._forward))):
            period = self._case.period
            value = self._pids[at].update(set_points[at], measured[at], applied[at] - past, period).value
            assert value is not None
            wishes.append(value + shift)
        return wishes

    def _ahead(self, moved: float) -> float:
        """What the belt must do about the furnace's moves now: they arrive as late and as slowly as the model says."""
        self._line.append(moved)
        pushed = self._line[0]
        for at, lag in enumerate(self._lags):
            self._state[at] += (pushed - self._state[at]) * -math.expm1(-self._case.period / lag)
            pushed = self._state[at]
        return self._gain * pushed


class LinearMpc:
    """The MPC of the product with the model that the controllers know, and what else it takes for possible."""

    def __init__(self, case: Case, dials: Sequence[Dials]) -> None:
        limits = [InputLimits(entry.low, entry.high, entry.rate_per_second) for entry in case.inputs]
        variants = variants_of(model_of(case), [dial.deviations for dial in dials])
        self._mpc = MultipleModelMpc(variants, tuning_of(case, dials), limits)
        self._period = case.period
        self.faults = 0

    def propose(self, set_points: Sequence[float], measured: Sequence[float], applied: Sequence[float]) -> list[float]:
        """The first moves of the plan; what is applied already when there is none."""
        plan = self._mpc.update(set_points, measured, applied, self._period)
        if isinstance(plan, Fault):
            self.faults += 1
            return list(applied)
        return list(plan.inputs)


def simc(path: Path, period: float, low: float, high: float, rate: float, share: float) -> PidTuning:
    """The tuning for one path, with half a period of sampling added to its dead time."""
    dead_time = path.dead_time + period / 2.0
    tightness = max(dead_time, SMALLEST_TIGHTNESS_PERIODS * period)
    lag, second = max(path.lag, path.second_lag), min(path.lag, path.second_lag)
    gain = lag / (path.gain * (tightness + dead_time))
    integral = min(lag, 4.0 * (tightness + dead_time))
    return PidTuning(
        gain=gain * (1.0 + second / integral),
        integral_seconds=integral + second,
        derivative_seconds=integral * second / (integral + second),
        filter_seconds=share * tightness,
        low=low,
        high=high,
        step=rate * credit_cap(period),
    )


def model_of(case: Case) -> ProcessModel:
    """What the controllers know of the plant."""
    return ProcessModel(
        inputs=tuple(Port(entry.signal, entry.unit) for entry in case.inputs),
        outputs=tuple(Port(output.signal, output.unit) for output in case.outputs),
        channels=tuple(
            tuple(Channel(path.gain, path.dead_time, path.lag, path.second_lag) for path in row) for row in case.paths
        ),
    )


def tuning_of(case: Case, dials: Sequence[Dials]) -> MpcTuning:
    """The dials in seconds, a set for each pair of output and input, by the path that a PID would use for it."""
    pairs = [(case.paths[i][i], dial) for i, dial in enumerate(dials)]
    return MpcTuning(
        period_seconds=case.period,
        horizon_seconds=HORIZON_SPANS * case.span,
        error_scales=tuple(output.scale for output in case.outputs),
        move_seconds=tuple(dial.move * path.span for path, dial in pairs),
        reference_seconds=tuple(dial.reference * path.span for path, dial in pairs),
        disturbances=tuple(
            DisturbanceTuning(
                dial.disturbance_lag * (path.lag + path.second_lag), dial.disturbance_settling * path.span
            )
            for path, dial in pairs
        ),
        loads=tuple(dial.load for dial in dials if dial.load is not None),
        noises=tuple(output.noise for output in case.outputs),
    )
