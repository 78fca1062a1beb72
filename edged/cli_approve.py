"""`edged control keygen | sign | approve`: how an engineer lets an output move beyond the approval threshold."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from edged.clock import SystemClock
from edged.errors import ConfigError, EdgedError
from edged.ports import Action
from edged.settings import NAME_PATTERN
from edged.status import control_status
from edged.subcommand import Commands, add_command
from edged.types import NANOSECONDS_PER_SECOND

SECONDS_PER_HOUR = 3600.0
DEFAULT_HOURS = 1.0

EXAMPLE = """\
example:
  edged control keygen chris                                 chris.key stays with the engineer
  cat chris.pub >> /etc/edged/engineers.pub                  chris.pub goes to the box: control.engineering_keys
  edged control approve thickness --key chris.key            exactly what waits now
  edged control approve thickness --key chris.key --value 160 --span 2 --hours 4

where the engineer is not at the box:
  edged control sign --key chris.key --line line_a --signal forming/belt_speed_setpoint --unit m/min --value 160 > ok
  edged control approve thickness --file ok                  by any operator

An approval is used once, before it expires, for one signal: up to VALUE, and SPAN to either side of it. When the output
has arrived there, VALUE is the new approved baseline.
"""


def add_approvals(
    commands: Commands,
    add_asking: Callable[[argparse.ArgumentParser], None],
    order: Callable[[argparse.Namespace, Action, str, object], int],
) -> None:
    """Declares the commands; `order` hands one over to the daemon."""
    keygen = add_command(commands, "keygen", "make an engineer's key pair", EXAMPLE, _keygen)
    keygen.add_argument("name", metavar="NAME", help="whose it is; files NAME.key and NAME.pub")
    keygen.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the files go (default: here)")
    sign = add_command(commands, "sign", "sign an approval and print it", EXAMPLE, _sign)
    for name in ("line", "signal", "unit"):
        sign.add_argument(f"--{name}", required=True)
    _add_consent(sign, needed=True)
    approve = add_command(
        commands, "approve", "let a move beyond the threshold go on", EXAMPLE, lambda options: _approve(options, order)
    )
    approve.add_argument("loop", metavar="LOOP", help="the loop's name in the configuration")
    approve.add_argument("--file", type=Path, metavar="FILE", help="hand over an approval that was signed elsewhere")
    _add_consent(approve, needed=False)
    add_asking(approve)


def _add_consent(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    parser.add_argument("--key", type=Path, required=needed, metavar="FILE", help="the engineer's private key")
    waits = "" if needed else " (default: what waits)"
    parser.add_argument("--value", type=float, required=needed, help=f"up to where, in the signal's unit{waits}")
    parser.add_argument("--span", type=float, default=0.0, help="so much to either side of it (default 0)")
    parser.add_argument("--hours", type=float, default=DEFAULT_HOURS, help="good for so long (default 1)")


def _keygen(options: argparse.Namespace) -> int:
    import re

    from edged.signature import make_key

    if re.fullmatch(NAME_PATTERN, options.name) is None:
        raise ConfigError([f"{options.name!r} is no name: lower case, digits and underscores, a letter first"])
    private, public = options.out / f"{options.name}.key", options.out / f"{options.name}.pub"
    make_key(private, public, options.name)
    print(f"{private} is the private key: keep it off the box. {public} goes into control.engineering_keys there.")
    return 0


def _sign(options: argparse.Namespace) -> int:
    signal = f"{options.line}/{options.signal.removeprefix(f'{options.line}/')}"
    print(_signed(options, options.line, signal, options.unit, options.value))
    return 0


def _approve(options: argparse.Namespace, order: Callable[[argparse.Namespace, Action, str, object], int]) -> int:
    if (options.file is None) == (options.key is None):
        raise ConfigError(["name either --key to sign with, or --file with what was signed elsewhere"])
    if options.file is not None:
        try:
            text = options.file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as fault:
            raise EdgedError(f"--file: {fault}") from fault
        return order(options, Action.APPROVE, options.loop, text)
    line, loop = _find(options)
    value = options.value
    if value is None:
        if loop["waiting"] is None:
            raise EdgedError(f"{options.loop} waits for no approval: name the --value to approve in advance")
        value = float(loop["waiting"]["value"])
    text = _signed(options, line, str(loop["signal"]), str(loop["unit"]), value)
    return order(options, Action.APPROVE, options.loop, text)


def _find(options: argparse.Namespace) -> tuple[str, Mapping[str, Any]]:
    """The line's name and the loop as the daemon shows it."""
    if options.token_file is None:
        raise ConfigError(["--token-file: name the operator's token"])
    status = control_status(options.url, options.token_file)
    loops = status.get("loops")
    named = [loop for loop in loops if loop["name"] == options.loop] if isinstance(loops, list) else []
    if not named:
        raise EdgedError(f"there is no loop {options.loop!r} on this line")
    return str(status["line"]), named[0]


def _signed(options: argparse.Namespace, line: str, signal: str, unit: str, value: float) -> str:
    from pydantic import ValidationError

    from edged.signature import private_key
    from edged_control.approval import Approval, signed

    now = SystemClock().now()
    try:
        approval = Approval(
            identity=uuid4().hex,
            line=line,
            signal=signal,
            unit=unit,
            value=value,
            span=options.span,
            issued=now,
            expires=now + round(options.hours * SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND),
        )
    except ValidationError as fault:
        raise ConfigError([f"--{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in fault.errors()]) from fault
    return signed(approval, private_key(options.key))
