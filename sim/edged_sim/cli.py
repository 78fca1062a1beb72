"""`edged-sim`: a simulated glass line behind real servers, recordings, training files, a small broker."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from edged import log as logs
from edged.errors import EdgedError

CONFIG_FAULT = 2
DESCRIPTION = """\
A simulated glass line behind real servers, for trying edged without a plant.

  edged-sim run --scenario configs/scenarios/demo.yaml    the line: OPC UA, Modbus TCP and MQTT
  edged-sim broker --port 1883                            a small MQTT broker where mosquitto is missing
"""


def main(arguments: list[str] | None = None) -> None:
    """The command line; exits 2 for faults in files or options, 1 for anything else that cannot go on."""
    options = _parser().parse_args(arguments)
    logs.configure("info")
    try:
        options.command(options)
    except EdgedError as error:
        print(f"edged-sim: {error}", file=sys.stderr)
        sys.exit(CONFIG_FAULT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edged-sim", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    face = commands.add_parser("face", help=argparse.SUPPRESS)
    face.set_defaults(command=_face)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run the simulated line behind its three faces",
        description="Runs the simulated line. Each face is a process of its own and keeps a journal of what it offered "
        "and what was written to it (format: pydoc edged_sim.journal). Ctrl-C stops everything.",
    )
    run.add_argument("--scenario", type=Path, required=True, help="what happens: configs/scenarios/*.yaml")
    run.add_argument("--opcua-port", type=int, default=4840, help="0 picks a free one (default: %(default)s)")
    run.add_argument("--modbus-port", type=int, default=5020, help="0 picks a free one (default: %(default)s)")
    run.add_argument("--mqtt-port", type=int, default=1883, help="of the broker on this machine (default: %(default)s)")
    run.add_argument("--mqtt-protocol", choices=("5", "3.1.1"), default="5", help="(default: %(default)s)")
    run.add_argument("--journal", type=Path, default=Path("run/journal"), help="folder (default: %(default)s)")
    run.add_argument("--ready-file", type=Path, help="written when all faces answer: ports, process ids, start time")
    run.add_argument(
        "--restart-seconds", type=float, default=10.0, help="a face that died comes up again after this (%(default)s)"
    )
    run.add_argument("--opcua-user", default="", help="the only user let in; everybody when not given")
    run.add_argument("--opcua-password-file", default="", help="file with that user's password")
    run.add_argument("--opcua-certificate", default="", help="server certificate: offers Basic256Sha256 too")
    run.add_argument("--opcua-key", default="", help="private key of the certificate")
    run.add_argument("--opcua-secure-only", action="store_true", help="refuse connections without Basic256Sha256")
    run.add_argument("--verbose", action="store_true", help="a line of progress each second")
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    from edged_sim.app import RunOptions, run
    from edged_sim.link import Security
    from edged_sim.scenario import load_scenario

    scenario = load_scenario(options.scenario)
    security = Security(
        options.opcua_user,
        options.opcua_password_file,
        options.opcua_certificate,
        options.opcua_key,
        options.opcua_secure_only,
    )
    settings = RunOptions(
        options.journal,
        options.opcua_port,
        options.modbus_port,
        options.mqtt_port,
        options.mqtt_protocol,
        security,
        options.restart_seconds,
        options.ready_file,
        options.verbose,
    )
    asyncio.run(run(scenario, settings))


def _face(_: argparse.Namespace) -> None:
    from edged_sim.face import run_face

    run_face()
