"""`edged-sim`: a simulated glass line behind real servers, recordings, training files, a small broker."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from edged import log as logs
from edged.errors import EdgedError

CONFIG_FAULT = 2
FAILED = 1
REJECTED = 1
INTERRUPTED = 130
TEP_ROWS_PER_SECOND = 10.0
STEP_MOVE, STEP_WATCH = "forming/belt_speed_setpoint", "forming/thickness"
STEP_BY, STEP_HOLD = 8.0, 20
DESCRIPTION = """\
A simulated glass line behind real servers, for trying edged without a plant.

  edged-sim run --scenario configs/scenarios/demo.yaml    the line: OPC UA, Modbus TCP and MQTT
  edged-sim replay FILE.csv --config-out replay.yaml      a recording, through a real OPC UA server
  edged-sim replay tep --rows-per-second 10               Tennessee Eastman, from the folder EDGED_DATA
  edged-sim dataset --out DIR --hours 12 --seed 1         training files, faster than real time
  edged-sim steps --out steps.csv                         a step test, to find a process model in
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
    except OSError as error:
        print(f"edged-sim: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edged-sim", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_replay(commands)
    _add_dataset(commands)
    _add_steps(commands)
    _add_broker(commands)
    face = commands.add_parser("face", description="The process of one face; started by run, never by hand.")
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


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replay = commands.add_parser(
        "replay",
        help="play a recording through a real OPC UA server",
        description="Plays a CSV file with a time column (ISO 8601, epoch seconds or milliseconds; .gz too), or the "
        "Tennessee Eastman recordings, through the OPC UA face. Values get new source times; the recorded time is the "
        "signal recording/time. By default the first row waits for a client to subscribe.",
    )
    replay.add_argument("recording", help="a CSV file, or tep for the recordings under EDGED_DATA")
    pace = replay.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=_positive, help="recorded seconds per second (default: 1)")
    pace.add_argument("--rows-per-second", type=_positive, help="steady pace instead (default for tep: 10)")
    replay.add_argument("--time-column", help="name of the time column where it is not plain")
    replay.add_argument("--limit", type=int, help="stop after so many rows")
    replay.add_argument("--opcua-port", type=int, default=4840, help="0 picks a free one (default: %(default)s)")
    replay.add_argument("--journal", type=Path, default=Path("run/journal"), help="folder (default: %(default)s)")
    replay.add_argument("--config-out", type=Path, help="write the edged configuration that reads the recording")
    replay.add_argument("--ready-file", type=Path, help="written when the server answers, and again at the end")
    replay.add_argument("--no-wait", action="store_true", help="play at once, whether anybody listens or not")
    replay.add_argument("--leave", action="store_true", help="end after the last row instead of serving it on")
    replay.set_defaults(command=_replay)


def _add_dataset(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    dataset = commands.add_parser(
        "dataset",
        help="write training files, faster than real time",
        description="Runs the plant through random trouble and writes DIR/features.csv and DIR/manifest.json (format: "
        "pydoc edged_sim.dataset). Same options, same bytes. Ends with 1 when the file is too easy or too noisy to "
        "learn from: the best rule on last values must stay below F1 0.75, the oracle below 0.98.",
    )
    dataset.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    dataset.add_argument("--hours", type=_positive, required=True, help="of plant time; about a second of work each")
    dataset.add_argument("--seed", type=int, required=True)
    dataset.add_argument("--profile", choices=("demo",), default="demo", help="mix of trouble (default: %(default)s)")
    dataset.add_argument("--period-seconds", type=_whole, default=1, help="between rows (default: %(default)s)")
    dataset.add_argument("--horizon-seconds", type=_whole, default=60, help="of the label (default: %(default)s)")
    dataset.add_argument(
        "--records", type=Path, metavar="FILE.jsonl", help="also single readings, as recorders keep them"
    )
    dataset.set_defaults(command=_dataset)


def _add_steps(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    steps = commands.add_parser(
        "steps",
        help="write the recording of a step test, faster than real time",
        description="Moves set-points of the plant up and down and records what follows, for `edged mpc identify`. "
        "Repeat --move with --by and --hold-seconds for several set-points. Same options, same bytes.",
    )
    steps.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the recording")
    steps.add_argument("--move", action="append", metavar="SIGNAL", help=f"(default: {STEP_MOVE})")
    steps.add_argument("--watch", action="append", metavar="SIGNAL", help=f"repeat it (default: {STEP_WATCH})")
    steps.add_argument("--by", type=_positive, action="append", help=f"so far to either side (default: {STEP_BY:g})")
    steps.add_argument(
        "--hold-seconds", type=_whole, action="append", help=f"at least between moves (default: {STEP_HOLD})"
    )
    steps.add_argument("--every-seconds", type=_whole, default=1, help="between rows (default: %(default)s)")
    steps.add_argument(
        "--glass-flow", choices=("metered", "by_viscosity"), default="metered", help="as in a scenario (%(default)s)"
    )
    steps.add_argument("--minutes", type=_whole, default=30, help="of plant time (default: %(default)s)")
    steps.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    steps.set_defaults(command=_steps)


def _add_broker(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    broker = commands.add_parser(
        "broker",
        help="a small MQTT broker on this machine",
        description="Runs amqtt on the loopback interface: anonymous, MQTT 3.1.1, nothing persistent. For the demo "
        "only: it keeps no messages for absent subscribers.",
    )
    broker.add_argument("--port", type=int, default=1883, help="(default: %(default)s)")
    broker.set_defaults(command=_broker)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return number


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
    _run_loop(run(scenario, settings))


def _replay(options: argparse.Namespace) -> None:
    from edged_sim.recording import CsvRecording, Recording, RecordingFault
    from edged_sim.replay import ReplayOptions, replay
    from edged_sim.tep import TepRecording

    recording: Recording
    if options.recording == "tep":
        if not os.environ.get("EDGED_DATA"):
            raise RecordingFault("tep: set EDGED_DATA to the folder that holds tep/d00.dat.gz")
        recording = TepRecording(Path(os.environ["EDGED_DATA"]) / "tep")
    else:
        recording = CsvRecording(Path(options.recording), options.time_column)
    pace = options.rows_per_second
    if options.recording == "tep" and options.speed is None and pace is None:
        pace = TEP_ROWS_PER_SECOND
    settings = ReplayOptions(
        options.journal,
        options.speed or 1.0,
        pace,
        options.opcua_port,
        options.config_out,
        options.ready_file,
        options.limit,
        wait_for_client=not options.no_wait,
        leave_when_done=options.leave,
    )
    _run_loop(replay(recording, settings))


def _dataset(options: argparse.Namespace) -> None:
    from edged_sim.dataset import DatasetOptions, generate
    from edged_sim.honesty import ORACLE_LIMIT, RULE_LIMIT

    summary = generate(
        DatasetOptions(
            options.out,
            options.hours,
            options.seed,
            options.profile,
            options.period_seconds,
            options.horizon_seconds,
            options.records,
        )
    )
    honesty = summary.honesty
    print(f"rows              {summary.rows:,}, {summary.positive_share:.1%} with a defect ahead")
    print(f"sha256            {summary.sha256}")
    print(f"last-value rule   F1 {honesty.rule_f1:.3f}, must stay below {RULE_LIMIT} ({honesty.rule})")
    print(f"oracle            F1 {honesty.oracle_f1:.3f}, must stay below {ORACLE_LIMIT}")
    if honesty.accepted is None:
        print("judgement         too few defects to judge: generate more hours")
    elif not honesty.accepted:
        print("judgement         rejected: too easy or too noisy to learn from")
        sys.exit(REJECTED)


def _steps(options: argparse.Namespace) -> None:
    from edged_sim.melting import GlassFlow
    from edged_sim.step_test import Move, StepTest, StepTestRefused, record

    moves = options.move or [STEP_MOVE]
    by, hold = options.by or [STEP_BY], options.hold_seconds or [STEP_HOLD]
    if not len(moves) == len(by) == len(hold):
        raise StepTestRefused(f"--by and --hold-seconds must be given for each --move, got {len(by)} and {len(hold)}")
    test = StepTest(
        moves=[Move(*one) for one in zip(moves, by, hold, strict=True)],
        watched=options.watch or [STEP_WATCH],
        minutes=options.minutes,
        seed=options.seed,
        every_seconds=options.every_seconds,
        flow=GlassFlow(options.glass_flow),
    )
    print(f"{record(test, options.out):,} rows in {options.out}")


def _broker(options: argparse.Namespace) -> None:
    from edged_sim.broker import serve_broker

    _run_loop(serve_broker(options.port))


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Runs to the end; a fault of one task is shown as the fault itself."""
    try:
        asyncio.run(main)
    except ExceptionGroup as group:
        known = group.subgroup(EdgedError)
        if known is None:
            raise
        raise _first(known) from None


def _first(group: ExceptionGroup[EdgedError]) -> EdgedError:
    fault = group.exceptions[0]
    return _first(fault) if isinstance(fault, ExceptionGroup) else fault


def _face(_: argparse.Namespace) -> None:
    from edged_sim.face import run_face

    run_face()
