"""Processes whose truth is known, and recordings of them: moved by hand, or by a controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edged_control.identification.recording import Recording
from edged_control.process_model.dynamics import Dynamics
from edged_control.process_model.linear import Channel, Port, ProcessModel
from edged_control.process_model.state_space import discretise

INPUT, OUTPUT = Port("line/valve", "%"), Port("line/level", "mm")


def swinging(gain: float = 2.0, damping: float = 0.3, delay: int = 3) -> ProcessModel:
    """Two complex poles at 0.25 rad per period; its first answer goes the wrong way."""
    turned = complex(-0.25 * damping, 0.25 * math.sqrt(1.0 - damping**2))
    decay, cosine, sine = math.exp(turned.real), math.cos(turned.imag), math.sin(turned.imag)
    a = ((decay * cosine, -decay * sine), (decay * sine, decay * cosine))
    shape = np.array([-0.6, 1.0])
    c = shape * gain / (shape @ np.linalg.solve(np.eye(2) - np.array(a), np.array([1.0, 0.0])))
    dynamics = Dynamics(1.0, 60.0, (delay,), a, ((1.0,), (0.0,)), (tuple(map(float, c)),))
    return ProcessModel((INPUT,), (OUTPUT,), ((Channel(gain, float(delay), 4.0),),), dynamics)


def in_state_space(model: ProcessModel) -> ProcessModel:
    """The same process with matrices for one second beside its channels, dead times among the states."""
    system = discretise(model, 1.0)
    a, b, c = (tuple(tuple(map(float, row)) for row in matrix) for matrix in (system.a, system.b, system.c))
    return replace(model, dynamics=Dynamics(1.0, model.settling_seconds, (0,) * len(model.inputs), a, b, c))


def single(channel: Channel) -> ProcessModel:
    """One path."""
    return ProcessModel((INPUT,), (OUTPUT,), ((channel,),))


def moved_by_hand(model: ProcessModel, samples: int = 1000, noise: float = 0.05, seed: int = 1) -> Recording:
    """Inputs that jump at random between three levels, each apart from the others."""
    rng, system = np.random.default_rng(seed), discretise(model, 1.0)
    count = len(model.inputs)
    held, state = np.zeros(count), np.zeros(len(system.a))
    inputs, outputs = np.zeros((samples, count)), np.zeros((samples, len(model.outputs)))
    for k in range(samples):
        outputs[k] = 100.0 + system.c @ state + rng.normal(0.0, noise, len(model.outputs))
        held = np.where(rng.random(count) < 1 / 40, rng.choice([-1.0, 0.0, 1.0], count), held)
        inputs[k] = 50.0 + held
        state = system.a @ state + system.b @ held
    return Recording(1.0, model.inputs, model.outputs, inputs, outputs)


def moved_by_a_controller(
    model: ProcessModel, set_points: Sequence[float], disturbance: float, noise: float = 0.02, seed: int = 1
) -> Recording:
    """Normal operation: a PI controller (gain 0.5, 10 periods) and a disturbance that wanders with 50 periods."""
    rng, system = np.random.default_rng(seed), discretise(model, 1.0)
    state, drift, integral = np.zeros(len(system.a)), 0.0, 0.0
    inputs, outputs = np.zeros((len(set_points), 1)), np.zeros((len(set_points), 1))
    for k, set_point in enumerate(set_points):
        drift = 0.98 * drift + disturbance * rng.normal()
        seen = float((system.c @ state)[0]) + drift + noise * rng.normal()
        integral += 0.5 * (set_point - seen) / 10.0
        output = 0.5 * (set_point - seen) + integral
        inputs[k], outputs[k] = 50.0 + output, 100.0 + seen
        state = system.a @ state + system.b @ np.array([output])
    return Recording(1.0, model.inputs, model.outputs, inputs, outputs)


def stepping(samples: int = 1500, size: float = 1.0, seed: int = 1) -> list[float]:
    """A set-point that somebody changes now and then."""
    rng, level, way = np.random.default_rng(seed + 100), 0.0, []
    for _ in range(samples):
        level = float(rng.choice([-size, 0.0, size])) if rng.random() < 1 / 100 else level
        way.append(level)
    return way
