"""The commands `edged mpc identify` and `edged mpc init`: from a recording to the configuration of an MPC."""

from __future__ import annotations

import argparse
from pathlib import Path

from edged.errors import MissingLibrary
from edged.subcommand import FAILED, Commands, add_command

EXAMPLE = """\
example:
  edged mpc identify steps.csv --input line_a/forming/belt_speed_setpoint --output line_a/forming/thickness \\
        --artefact belt.json
  edged mpc init belt.json --loop thickness

The recording is CSV: the first column is time (seconds or ISO 8601, evenly spaced), every other one a signal with its
unit, such as line_a/forming/thickness [mm]. Move the inputs in steps, apart from each other, also in its last third:
that part judges the model. A stretch of normal operation will do where set-points were moved in it: inputs that a
controller moves are noticed and allowed for, or refused when they show nothing of their own.
exit status: 0 good, 1 no model (the report says why), 2 a file that cannot be used
"""


def add_mpc(commands: Commands) -> None:
    """Declares both commands."""
    mpc = add_command(commands, "mpc", "find process models and set up model predictive control", EXAMPLE, None)
    below = mpc.add_subparsers(title="commands", metavar="COMMAND", required=True)
    identify = add_command(below, "identify", "find a process model in a recording", EXAMPLE, _identify)
    identify.add_argument("data", type=Path, metavar="DATA.csv", help="the recording")
    identify.add_argument("--input", action="append", required=True, metavar="SIGNAL", help="what was moved; repeat it")
    identify.add_argument("--output", action="append", required=True, metavar="SIGNAL", help="what followed; repeat it")
    identify.add_argument(
        "--structure",
        choices=("auto", "fopdt", "sopdt", "state-space"),
        default="auto",
        help="dead time with one lag or two for each path, or one state space for processes that swing or first answer"
        " the wrong way (default: %(default)s, the simplest that explains it)",
    )
    identify.add_argument("--artefact", type=Path, required=True, metavar="FILE", help="where the model is written")
    init = add_command(below, "init", "print the configuration of a controller for a model", EXAMPLE, _init)
    init.add_argument("model", type=Path, metavar="FILE", help="the artefact")
    init.add_argument(
        "--loop",
        required=True,
        action="append",
        metavar="NAME",
        help="the loop's name in the configuration; repeat it for a model of several outputs, in their order",
    )


def _identify(options: argparse.Namespace) -> int:
    _need_numpy()
    from edged_control.identification.operations import identify_file
    from edged_control.identification.structures import Structure

    structure = Structure(options.structure)
    found = identify_file(options.data, options.input, options.output, options.artefact, structure)
    print(found.text)
    return 0 if found.path is not None else FAILED


def _init(options: argparse.Namespace) -> int:
    _need_numpy()
    from edged_control.identification.operations import init_text

    print(init_text(options.model, options.loop), end="")
    return 0


def _need_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError as fault:
        raise MissingLibrary("numpy", "control") from fault
