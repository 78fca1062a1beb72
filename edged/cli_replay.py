"""The command `edged replay`: a recorded stretch of control runs again, and every decision that differs is shown."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged import __version__
from edged.config import LineConfig, load
from edged.errors import ConfigError
from edged.subcommand import FAILED, Commands, add_command
from edged.types import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from edged_control.replay.report import Difference
    from edged_control.replay.run import Replayed

EXAMPLE = """\
example:
  edged replay line.yaml --last 60                            does the last minute come out the same?
  edged replay line.yaml 2026-11-29T10:00:00Z..2026-11-29T10:01:00Z
  edged replay tighter.yaml --last 600                        with another limit: what would have happened?
  edged replay line.yaml --last 60 --solve                    ask the solver again
  edged replay line.yaml --last 60 --export incident.db       keep it as a file of its own
  edged replay --incident incident.db                         and replay it anywhere

The flight recorder (control.flight) keeps everything that comes into control: each reading of clock and plant, each
answer of a solver, each order. Here it comes in again, through the same code, on the recorded clock. Nothing is
connected to and nothing is written, but to --export; the daemon may be running. With the version and configuration that
were recorded nothing differs. With others it shows what they would have done with the recorded inputs: outputs stand
where the replay puts them, process values stay as they were, for the plant can't answer any more.

--last counts back from the newest record, which is about a second old.
exit status: 0 reproduced, 1 something differs or there is nothing to replay, 2 wrong usage
"""


def add_replay(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "replay", "run recorded control again and show what differs", EXAMPLE, _replay)
    parser.add_argument("config", type=Path, nargs="?", metavar="CONFIG", help="the line's configuration")
    parser.add_argument("range", nargs="?", metavar="RANGE", help="SINCE..UNTIL, ISO 8601, UTC where no zone is given")
    parser.add_argument("--last", type=float, metavar="SECONDS", help="the end of the recording")
    parser.add_argument("--file", type=Path, metavar="FILE", help="the flight file (default: in the data directory)")
    parser.add_argument("--incident", type=Path, metavar="FILE", help="what --export wrote; CONFIG may be left out")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the stretch as a file of its own")
    parser.add_argument("--solve", action="store_true", help="ask a solver instead of taking its recorded answers")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def _replay(options: argparse.Namespace) -> int:
    from edged.log import configure
    from edged_control.flight.file import flight_path
    from edged_control.flight.reader import FlightReader
    from edged_control.replay.run import replay_file

    configure("error", as_json=None)
    if options.config is None and options.incident is None:
        raise ConfigError(["CONFIG: name the line's configuration, or --incident FILE"])
    config = None if options.config is None else _config(options.config)
    path = options.incident or options.file
    if path is None:
        assert config is not None
        path = flight_path(config.settings.data_directory, config.settings.line)
    reader = FlightReader(path)
    try:
        since, until = _range(options, reader.until, reader.incident)
        if options.export is not None:
            reader.export(options.export, since, until)
        found = replay_file(reader, since, until, config, solve=options.solve)
    finally:
        reader.close()
    print(json.dumps(_document(found), indent=2) if options.json else "\n".join(_lines(found)))
    return FAILED if found.report.differences else 0


def _config(path: Path) -> LineConfig:
    config = load(path, tolerate_missing=True)
    if config.settings.control is None or not config.settings.control.loops:
        raise ConfigError([f"{path}: control.loops: there are none, so there is nothing to replay"])
    return config


def _range(options: argparse.Namespace, newest: int, incident: tuple[int, int] | None) -> tuple[int, int]:
    """The stretch in ns UTC. Raises ConfigError."""
    if options.range is not None and options.last is not None:
        raise ConfigError(["RANGE and --last: give one of them"])
    if options.range is not None:
        return _parsed(options.range)
    if options.last is not None:
        if not 0 < options.last < math.inf:
            raise ConfigError([f"--last: must be above 0 seconds, got {options.last:g}"])
        return newest - round(options.last * NANOSECONDS_PER_SECOND), newest
    if incident is not None:
        return incident
    raise ConfigError(["RANGE: name a stretch of time, SINCE..UNTIL, or --last SECONDS"])


def _parsed(text: str) -> tuple[int, int]:
    try:
        since, until = (_nanoseconds(word) for word in text.split("..", 1))
    except ValueError as fault:
        example = "2026-11-29T10:00:00Z..2026-11-29T10:01:00Z"
        raise ConfigError([f"RANGE: expected SINCE..UNTIL such as {example}, got {text!r}"]) from fault
    if not since < until:
        raise ConfigError([f"RANGE: must end after it begins, got {text!r}"])
    return since, until


def _nanoseconds(text: str) -> int:
    time = datetime.fromisoformat(text)
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return round(aware.timestamp() * 1_000_000) * 1_000


def _lines(found: Replayed) -> list[str]:
    from edged_control.flight.reader import stamp

    report, lines = found.report, []
    versions = ", ".join(sorted(found.versions))
    if found.versions != {__version__}:
        lines.append(f"recorded by edged {versions}, replayed by {__version__}")
    lines += [f"changed since: {text}" for text in found.changed]
    lines += [f"missing: there are no records just before {stamp(wall)}" for wall in report.missing]
    lines += report.notes
    lines += [_line(one) for one in report.differences]
    told = f"{report.cycles} cycles, {report.orders} orders, {report.decisions} records of decisions"
    where = f"{found.line}, {stamp(found.since)}..{stamp(found.until)}: {told}"
    if report.differences:
        lines.append(f"{where}; {len(report.differences)} came out differently")
        lines.append(
            f"from {stamp(report.differences[0].wall)} on: what this edged would have done with the recorded inputs; "
            "outputs stand where it put them, process values as they were"
        )
    else:
        lines.append(f"{where}; every decision reproduced")
    return lines


def _line(one: Difference) -> str:
    from edged_control.flight.reader import stamp

    changes = "; ".join(f"{name} {_text(before)} -> {_text(after)}" for name, before, after in one.changes)
    return f"{stamp(one.wall)} {one.target} {one.deed}: {changes}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None or value == "" else str(value)


def _document(found: Replayed) -> dict[str, Any]:
    from edged_control.flight.reader import stamp

    report = found.report
    return {
        "line": found.line,
        "since": stamp(found.since),
        "until": stamp(found.until),
        "recorded_by": sorted(found.versions),
        "replayed_by": __version__,
        "changed": list(found.changed),
        "notes": report.notes,
        "missing": [stamp(wall) for wall in report.missing],
        "cycles": report.cycles,
        "orders": report.orders,
        "decisions": report.decisions,
        "reproduced": not report.differences,
        "differences": [_difference(one) for one in report.differences],
    }


def _difference(one: Difference) -> dict[str, Any]:
    from edged_control.flight.reader import stamp

    changes: Sequence[Any] = one.changes
    told = [{"name": name, "recorded": before, "replayed": after} for name, before, after in changes]
    return {"time": stamp(one.wall), "deed": one.deed, "target": one.target, "changes": told}
