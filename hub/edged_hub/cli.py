"""The command `edged-hub`: run, enroll, user, status, train. Exit status 0 good, 1 failed, 2 wrong input."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edged import __version__
from edged.clock import SystemClock
from edged.errors import ConfigError, EdgedError, MissingLibrary
from edged.log import configure
from edged_hub.app import open_configured_store, run, write_secret
from edged_hub.identities import new_identity
from edged_hub.models import iso_time
from edged_hub.recipes import RECIPES
from edged_hub.settings import DEFAULT_DATA, DEFAULT_HOST, DEFAULT_PORT, Database, HubServerSettings
from edged_hub.sqlite_store import FILE_NAME
from edged_hub.store import Identity, IdentityKind, Role

FAILED = 1
WRONG_INPUT = 2

TEACHING = """\
the first quarter of an hour:
  edged-hub run --data /var/lib/edged-hub                            the hub, for this machine only
  edged-hub enroll line_a --data /var/lib/edged-hub --out secret     gives line_a its secret, once
  curl -H "Authorization: Bearer $(cat /var/lib/edged-hub/admin.token)" http://127.0.0.1:8480/api/v1/latest
  edged-hub status --data /var/lib/edged-hub                         what it holds, from which line

exit status: 0 good, 1 failed, 2 wrong usage
"""
RUN_EXAMPLE = """\
example:
  edged-hub run --data /var/lib/edged-hub
  edged-hub run --host 0.0.0.0 --certificate hub.pem --key hub.key     lines on other machines
  edged-hub run --database-file /etc/edged/database                    PostgreSQL instead of a file

Everything is in one SQLite file, DATA/hub.db, or in PostgreSQL. The first start writes DATA/admin.token, the secret of
the user admin. Every command takes the same --database or --database-file as `run`; the file is the better place for a
password, since others can see the arguments of a command.
Runs until SIGTERM or Ctrl-C; then it answers what is under way and closes the store.
"""
ENROLL_EXAMPLE = """\
example:
  edged-hub enroll line_a --data /var/lib/edged-hub --out /etc/edged/hub-secret
  edged-hub enroll line_a | ssh box 'umask 077; cat > /etc/edged/hub-secret'

The line's configuration then says `hub: { url: ..., secret: { file: /etc/edged/hub-secret } }`. Works while the hub
runs. Enrolling a line again replaces its secret; the old one stops working within seconds.
"""
USER_EXAMPLE = """\
example:
  edged-hub user add anna --role viewer       reads
  edged-hub user add emma --role engineer     may also ask lines to move a signal (docs/control.md)

Prints the token once; the hub keeps only a hash of it. Adding a user again replaces the token.
"""
TRAIN_EXAMPLE = """\
example:
  edged-sim dataset --out run/dataset --hours 12 --seed 7
  edged-hub train --profile demo --data run/dataset --out configs/models/defect_risk

The same files give the same model, byte for byte. The bundle (model.onnx and manifest.json) is what a line's
configuration names under `models`. Needs the extra `train`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status. User errors are lines on stderr, never tracebacks."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as fault:
        print(f"edged-hub: {fault}", file=sys.stderr)
        return WRONG_INPUT
    except (EdgedError, OSError) as fault:
        print(f"edged-hub: {fault}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _command(None, "edged-hub", "The hub: holds every value of every line exactly once.", TEACHING)
    parser.add_argument("--version", action="version", version=f"edged-hub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    enroll = _command(commands, "enroll", "gives a line its secret", ENROLL_EXAMPLE)
    enroll.add_argument("node", metavar="NODE", help="the line's name, as in its configuration")
    enroll.add_argument("--out", type=Path, metavar="FILE", help="write the secret there (0600) instead of printing it")
    _add_data(enroll)
    enroll.set_defaults(command=_enroll)
    user = _command(commands, "user", "adds users of the API", USER_EXAMPLE)
    actions = user.add_subparsers(required=True, metavar="ACTION")
    add = _command(actions, "add", "adds a user and prints the token once", USER_EXAMPLE)
    add.add_argument("name", metavar="NAME", help="lower case, digits and underscores")
    add.add_argument("--role", choices=[Role.VIEWER.value, Role.ENGINEER.value], default=Role.VIEWER.value)
    _add_data(add)
    add.set_defaults(command=_add_user)
    training = _command(commands, "train", "trains a model on files and writes its bundle", TRAIN_EXAMPLE)
    training.add_argument("--profile", choices=sorted(RECIPES), default="demo")
    training.add_argument("--data", type=Path, required=True, metavar="DIR", help="written by `edged-sim dataset`")
    training.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    training.add_argument("--trained", metavar="DATE", help="date for the manifest (default: today)")
    training.set_defaults(command=_train)
    status = _command(commands, "status", "what the hub holds, read from its store", "")
    _add_data(status)
    status.set_defaults(command=_status)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "run", "runs the hub", RUN_EXAMPLE)
    _add_data(parser)
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="default %(default)s; 0 picks a free one")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="TLS certificate chain")
    parser.add_argument("--key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument("--behind-proxy", action="store_true", help="a proxy in front of the hub does TLS")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written once the hub listens")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.set_defaults(command=_run)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser] | None, name: str, purpose: str, example: str
) -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    if commands is None:
        return argparse.ArgumentParser(name, description=purpose, epilog=example, formatter_class=style)
    return commands.add_parser(name, help=purpose, description=purpose, epilog=example, formatter_class=style)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="data directory (default: %(default)s)"
    )
    database = parser.add_mutually_exclusive_group()
    database.add_argument(
        "--database", metavar="ADDRESS", help="postgresql://USER@HOST:PORT/NAME (default: DIR/hub.db)"
    )
    database.add_argument(
        "--database-file", type=Path, metavar="FILE", help="holds the address with its password, for its owner only"
    )


def _database(options: argparse.Namespace) -> Database | None:
    if options.database is not None:
        return Database.at(options.database)
    return None if options.database_file is None else Database.in_file(options.database_file)


def _run(options: argparse.Namespace) -> int:
    settings = HubServerSettings(
        data_directory=options.data,
        host=options.host,
        port=options.port,
        certificate=options.certificate,
        key=options.key,
        behind_proxy=options.behind_proxy,
        ready_file=options.ready_file,
        database=_database(options),
    )
    configure(options.log_level)
    return run(settings)


def _enroll(options: argparse.Namespace) -> int:
    identity, secret = new_identity(IdentityKind.EDGE, options.node, Role.EDGE, SystemClock().now())
    asyncio.run(_keep(options, identity))
    if options.out is None:
        print(secret)
    else:
        write_secret(options.out, secret)
        print(f"the secret of {options.node} is in {options.out}")
    return 0


def _add_user(options: argparse.Namespace) -> int:
    identity, token = new_identity(IdentityKind.USER, options.name, Role(options.role), SystemClock().now())
    asyncio.run(_keep(options, identity))
    print(token)
    return 0


async def _keep(options: argparse.Namespace, identity: Identity) -> None:
    store = await open_configured_store(options.data, _database(options), SystemClock())
    try:
        await store.put_identity(identity)
    finally:
        await store.close()


def _train(options: argparse.Namespace) -> int:
    try:
        from edged_hub.training import train, write_bundle
    except ModuleNotFoundError as fault:
        raise MissingLibrary(str(fault.name), "train") from fault
    today = iso_time(SystemClock().now())[:10]
    trained = train(options.data, options.profile, options.trained or today, lambda step: print(f"train: {step}"))
    write_bundle(trained, options.out)
    manifest = trained.manifest
    for name, value in manifest.metrics.items():
        print(f"  {name:<18} {value}")
    print(f"train: {manifest.name} {manifest.version} is in {options.out}, sha256 {manifest.sha256[:12]}...")
    return 0


def _status(options: argparse.Namespace) -> int:
    database = _database(options)
    if database is None and not (options.data / FILE_NAME).exists():
        raise ConfigError([f"no hub has run in {options.data} yet: there is no {FILE_NAME}"])
    for line in asyncio.run(_status_lines(options.data, database)):
        print(line)
    return 0


async def _status_lines(data_directory: Path, database: Database | None) -> list[str]:
    clock = SystemClock()
    store = await open_configured_store(data_directory, database, clock)
    try:
        totals = await store.totals()
        lanes = await store.holdings(clock.now())
    finally:
        await store.close()
    kept = f"{totals.samples} samples, {totals.events} events, {totals.gaps} gaps"
    lines = [f"{kept}; {totals.signals} signals, {totals.nodes} lines, {totals.refused_batches} batches put aside"]
    for lane in lanes:
        missing = ", ".join(f"{first}..{last}" for first, last in lane.missing) or "nothing missing"
        lines.append(
            f"{lane.node:<16} {lane.lane:<8} {lane.batches:>9} batches {lane.rows:>11} rows"
            f"   last {iso_time(lane.last_received)}   {missing}   stream {lane.stream}"
        )
    return lines
