"""The command `edged` and what one can ask of it. Exit status 0 good, 1 failed, 2 wrong input."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edged import __version__
from edged.browse import browse, line_file
from edged.cli_control import STATUS_URL, add_control
from edged.cli_mpc import add_mpc
from edged.cli_replay import add_replay
from edged.cli_sparkplug import add_sparkplug_check
from edged.cli_support import add_support
from edged.config import LineConfig, load
from edged.errors import ConfigError, EdgedError, MissingLibrary
from edged.registry import ConnectorKind, connector_kinds
from edged.schema import json_schema
from edged.status import fetch
from edged.subcommand import FAILED, WRONG_INPUT, Commands, add_command
from edged.table import render

INTERRUPTED = 130

TEACHING = """\
a first quarter of an hour:
  edged browse opcua opc.tcp://192.168.0.10:4840 > line.yaml      what does this server offer?
  edged check line.yaml                                           is my file right?
  edged run line.yaml                                             collect, keep, publish, sync
  edged status                                                    how is it doing?

exit status: 0 good, 1 failed, 2 wrong configuration or usage
"""
RUN_EXAMPLE = """\
example:
  edged run configs/line-a.yaml
  edged run --log-level debug /etc/edged/line.yaml

One daemon per production line. It runs until SIGTERM or Ctrl-C and then winds down: sources, outputs to hold, outbox.
Sources that cannot be reached are tried again; only a faulty configuration keeps it from starting (exit status 2).
"""
CHECK_EXAMPLE = """\
example:
  edged check --tolerate-missing configs/line-a.yaml      in a checkout or on a laptop: the box's secrets are not here
  edged check /etc/edged/line.yaml                        on the box: an absent secret is a fault

Every fault is listed at once, as file:line: place: what was wrong. Nothing is connected to. Exit status 2 with faults.
"""
SCHEMA_EXAMPLE = """\
example:
  edged schema > edged.schema.json

and as the first line of a configuration, for editors that use yaml-language-server (VS Code, Neovim, ...):
  # yaml-language-server: $schema=edged.schema.json
"""
BROWSE_EXAMPLE = """\
example:
  edged browse opcua opc.tcp://192.168.0.10:4840 > line.yaml
  edged browse opcua opc.tcp://plc:4840 username=viewer password.file=/etc/edged/plc-secret

KEY=VALUE are the options that the source would have in the configuration; a dot reaches into a nested one.
What is printed is a whole configuration: correct names, units and ranges, keep what you need, and check it.
"""
STATUS_EXAMPLE = """\
example:
  edged status
  edged status --url http://127.0.0.1:8471 --token-file /etc/edged/http-token
  edged status --json | jq .outbox
"""
OUTBOX_EXAMPLE = """\
example:
  edged outbox inspect /var/lib/edged/outbox.db                       what is inside, who has confirmed what
  edged outbox verify /var/lib/edged/outbox.db                        is it whole? exit status 1 with faults
  edged outbox export --format csv /var/lib/edged/outbox.db > all.csv every readable row

The file is only read: the daemon may be running. Files that were set aside as damaged can be looked into as well.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status. User errors are lines on stderr, never tracebacks."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        _complain(error)
        return WRONG_INPUT
    except EdgedError as error:
        print(f"edged: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edged",
        description="Edge-first gateway daemon for one factory line.",
        epilog=TEACHING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = add_command(commands, "run", "run the daemon of one line", RUN_EXAMPLE, _run)
    run.add_argument("file", type=Path, metavar="FILE", help="the line's configuration")
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    run.add_argument("--log-format", choices=("json", "text"), help="default: text on a terminal, else json")

    check = add_command(commands, "check", "say everything that is wrong with configurations", CHECK_EXAMPLE, _check)
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a line's configuration")
    check.add_argument(
        "--tolerate-missing", action="store_true", help="absent secrets, certificates and ceilings are warnings only"
    )

    add_command(commands, "schema", "print the JSON Schema of the configuration, for editors", SCHEMA_EXAMPLE, _schema)

    browse = add_command(
        commands, "browse", "ask a device what it offers and print it as configuration", BROWSE_EXAMPLE, _browse
    )
    browse.add_argument("kind", metavar="KIND", help="kind of source: opcua, modbus, mqtt, ...")
    browse.add_argument("endpoint", metavar="ENDPOINT", help="URL, or HOST:PORT")
    browse.add_argument("options", nargs="*", metavar="KEY=VALUE", help="further options of the source")

    status = add_command(commands, "status", "show how a running daemon is doing", STATUS_EXAMPLE, _status)
    status.add_argument("--url", default=STATUS_URL, help=f"where its pages are (default {STATUS_URL})")
    status.add_argument("--token-file", type=Path, metavar="FILE", help="the bearer token, when http.token is set")
    status.add_argument("--json", action="store_true", help="print the answer as it came")

    outbox = add_command(commands, "outbox", "look into an outbox file without changing it", OUTBOX_EXAMPLE, None)
    _add_outbox(outbox.add_subparsers(title="commands", metavar="COMMAND", required=True))

    add_control(commands)
    add_mpc(commands)
    add_replay(commands)
    add_sparkplug_check(commands)
    add_support(commands)
    return parser


def _add_outbox(commands: Commands) -> None:
    inspect = add_command(commands, "inspect", "print what an outbox holds", OUTBOX_EXAMPLE, _outbox_inspect)
    verify = add_command(commands, "verify", "check every batch of an outbox", OUTBOX_EXAMPLE, _outbox_verify)
    export = add_command(commands, "export", "print every readable row of an outbox", OUTBOX_EXAMPLE, _outbox_export)
    for parser in (inspect, verify, export):
        parser.add_argument("file", type=Path, metavar="FILE", help="outbox.db in the line's data directory")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")


def _run(options: argparse.Namespace) -> int:
    config = load(options.file)
    from edged.app import run
    from edged.log import configure

    configure(options.log_level, as_json=None if options.log_format is None else options.log_format == "json")
    return run(config)


def _check(options: argparse.Namespace) -> int:
    from edged_control.ladder.controllers import load_models
    from edged_control.mpc.furnace_loop import library_faults

    status = 0
    for path in options.files:
        try:
            config = load(path, tolerate_missing=options.tolerate_missing)
            models = load_models(config, tolerate_missing=options.tolerate_missing)
            lacking = library_faults(config)
            if not options.tolerate_missing:
                lacking.raise_any()
        except ConfigError as error:
            _complain(error)
            _teach_tolerance(path, options)
            status = WRONG_INPUT
            continue
        for warning in (*config.warnings, *models.missing, *lacking.error().faults):
            print(f"warning: {warning}", file=sys.stderr)
        print(f"{path}: ok: {_summary(config)}")
    return status


def _teach_tolerance(path: Path, options: argparse.Namespace) -> None:
    """Where nothing but secrets and files of the box is missing, that can be tolerated."""
    if options.tolerate_missing:
        return
    with suppress(ConfigError):
        load(path, tolerate_missing=True)
        print(f"edged: on a machine that is not the box: edged check --tolerate-missing {path}", file=sys.stderr)


def _summary(config: LineConfig) -> str:
    settings = config.settings
    writable = sum(signal.writable for signal in config.signals.values())
    parts = [
        _count(len(config.sources), "source"),
        f"{_count(len(config.signals), 'signal')} ({writable} writable)",
        _count(len(settings.alarms), "alarm"),
        _count(len(settings.models), "model"),
        _count(len(settings.control.loops) if settings.control else 0, "loop"),
    ]
    if settings.control is not None and settings.control.advisory:
        parts.append("advisory (nothing is written)")
    parts += [name for name, section in (("hub", settings.hub), ("sparkplug", settings.sparkplug)) if section]
    return f"{', '.join(parts)}; hash {config.hash}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _complain(error: ConfigError) -> None:
    for fault in error.faults:
        print(fault, file=sys.stderr)
    print(f"edged: {_count(len(error.faults), 'fault')}", file=sys.stderr)


def _schema(options: argparse.Namespace) -> int:
    del options
    kinds: dict[str, ConnectorKind] = {}
    for name in connector_kinds():
        try:
            kinds[name] = connector_kinds()[name]
        except (MissingLibrary, ConfigError) as error:
            print(f"warning: kind {name} is left out: {error}", file=sys.stderr)
    print(json.dumps(json_schema(kinds), indent=2, ensure_ascii=False))
    return 0


def _browse(options: argparse.Namespace) -> int:
    print(line_file(options.endpoint, browse(options.kind, options.endpoint, options.options)), end="")
    return 0


def _status(options: argparse.Namespace) -> int:
    answer = fetch(options.url, options.token_file)
    if options.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print(render(answer))
    return 0


def _outbox_inspect(options: argparse.Namespace) -> int:
    from edged.outbox_report import inspect

    report = inspect(options.file)
    rows = {name: [row._asdict() for row in getattr(report, name)] for name in ("lanes", "sinks", "sources")}
    print(render({**asdict(report), "old_files": list(report.old_files), **rows}))
    return 0


def _outbox_verify(options: argparse.Namespace) -> int:
    from edged.outbox_report import verify

    faults = verify(options.file)
    for fault in faults:
        print(f"{options.file}: {fault}", file=sys.stderr)
    print(f"{options.file}: {_count(len(faults), 'fault') if faults else 'ok'}")
    return FAILED if faults else 0


def _outbox_export(options: argparse.Namespace) -> int:
    from edged.outbox_report import export

    rows = export(options.file, sys.stdout, options.format)
    print(_count(rows, "row"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
