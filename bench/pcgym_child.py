"""pc-gym's CSTR and its oracle as a process: asked and answered in lines of JSON, in an environment of its own.

Run by `python -m bench pcgym-cstr`; it imports nothing of edged.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pcgym import make_env
from pcgym.oracle import oracle

CONCENTRATIONS, TEMPERATURES = (0.7, 1.0), (300.0, 350.0)
"""Of pc-gym's observation, as its documentation has them: nothing but a normalisation, which is off."""


def parameters(task: Mapping[str, Any]) -> dict[str, Any]:
    """The task as pc-gym wants it. The environment looks at one set-point more after the last step."""
    set_points = task["set_points"]
    low, high = zip(CONCENTRATIONS, TEMPERATURES, CONCENTRATIONS, strict=True)
    return {
        "model": "cstr",
        "N": len(set_points),
        "tsim": len(set_points) * task["period_minutes"],
        "SP": {"Ca": [*set_points, set_points[-1]]},
        "x0": np.array([*task["start"], set_points[0]]),
        "o_space": {"low": np.array(low), "high": np.array(high)},
        "a_space": {"low": np.array(task["coolant"][:1]), "high": np.array(task["coolant"][1:])},
        "normalise_a": False,
        "normalise_o": False,
        "integration_method": "casadi",
    }


class Plant:
    """Answers to the requests `oracle`, `reset` and `step`."""

    def __init__(self) -> None:
        self._env: Any = None

    def oracle(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """What the reference does, as it comes: concentrations after each step, and the coolant that it chose."""
        states, inputs = oracle(make_env, parameters(task)).mpc()
        return {"concentrations": states[0].tolist(), "coolant": inputs[0].tolist()}

    def reset(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """The plant at its start."""
        self._env = make_env(parameters(task))
        return {"concentration": float(self._env.reset()[0][0])}

    def step(self, coolant: float) -> dict[str, Any]:
        """The plant one period later. Its temperature stays here: no contender sees it."""
        return {"concentration": float(self._env.step(np.array([coolant]))[0][0])}


def main() -> None:
    """Answers until standard input ends; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    plant = Plant()
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "oracle": plant.oracle,
        "reset": plant.reset,
        "step": plant.step,
    }
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(requests[asked.pop("ask")](**asked)), file=answers, flush=True)


if __name__ == "__main__":
    main()
