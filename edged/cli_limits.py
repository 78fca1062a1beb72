"""`edged control limits | sign-limits`: other limits for a running daemon; wider ones only with an engineer's key."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from edged.clock import SystemClock
from edged.config import read_limits
from edged.errors import ConfigError, EdgedError
from edged.ports import Action
from edged.settings import LimitSettings
from edged.status import control_status
from edged.subcommand import Commands, add_command
from edged.types import NANOSECONDS_PER_SECOND

SECONDS_PER_HOUR = 3600.0
DEFAULT_HOURS = 1.0

EXAMPLE = """\
example:
  edged control limits tight.yaml --reason "new rollers"             at once, if no number gets wider
  edged control mode thickness MAN
  edged control limits wide.yaml --reason "rollers are run in" --key chris.key

where the engineer is not at the box:
  edged control sign-limits wide.yaml --key chris.key --line line_a > wide.signed
  edged control limits --signed wide.signed --reason "rollers are run in"      by any operator

The file is a list as in the configuration; signals that it does not name keep their limits:
  limits:
    - { signal: forming/belt_speed_setpoint, unit: m/min, low: 80, high: 180,
        rate_per_minute: 10, approval_threshold: 20 }

A push is all or nothing. It holds across restarts, within the ceiling of the box, until another one.
"""


def add_limits(
    commands: Commands,
    add_asking: Callable[[argparse.ArgumentParser], None],
    order: Callable[[argparse.Namespace, Action, str, object, Callable[[str], str]], int],
) -> None:
    """Declares the commands; `order` hands one over to the daemon and prints the answer, put in better words."""
    limits = add_command(
        commands, "limits", "change the limits of outputs", EXAMPLE, lambda options: _push(options, order)
    )
    limits.add_argument("file", metavar="FILE", type=Path, nargs="?", help="a YAML list of limits")
    limits.add_argument("--signed", type=Path, metavar="FILE", help="what sign-limits has printed, in place of a list")
    limits.add_argument("--key", type=Path, metavar="FILE", help="an engineer's private key: for wider limits")
    _add_hours(limits)
    add_asking(limits)
    sign = add_command(commands, "sign-limits", "sign a list of limits and print it", EXAMPLE, _sign)
    sign.add_argument("file", metavar="FILE", type=Path, help="a YAML list of limits")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the engineer's private key")
    sign.add_argument("--line", required=True, help="the line that they are for")
    _add_hours(sign)


def _add_hours(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hours", type=float, default=DEFAULT_HOURS, help="the signature is good for so long (default 1)"
    )


def _sign(options: argparse.Namespace) -> int:
    print(_signed(options, options.line, tuple(read_limits(options.file).values())))
    return 0


def _push(
    options: argparse.Namespace,
    order: Callable[[argparse.Namespace, Action, str, object, Callable[[str], str]], int],
) -> int:
    from edged_control.limits.push import unsigned_limits

    if (options.file is None) == (options.signed is None):
        raise ConfigError(["name either a FILE with limits, or --signed with what was signed elsewhere"])
    if options.token_file is None:
        raise ConfigError(["--token-file: name the operator's token"])
    line = str(control_status(options.url, options.token_file)["line"])
    if options.signed is not None:
        try:
            text = options.signed.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as fault:
            raise EdgedError(f"--signed: {fault}") from fault
        return order(options, Action.LIMITS, line, text, str)
    listed = read_limits(options.file)
    limits = tuple(listed.values())
    text = unsigned_limits(limits) if options.key is None else _signed(options, line, limits)
    return order(options, Action.LIMITS, line, text, lambda reason: _placed(reason, line, listed))


def _signed(options: argparse.Namespace, line: str, limits: tuple[LimitSettings, ...]) -> str:
    from edged.signature import MAX_TEXT_CHARACTERS, private_key
    from edged_control.limits.push import Widening, signed_limits

    now = SystemClock().now()
    life = round(options.hours * SECONDS_PER_HOUR * NANOSECONDS_PER_SECOND)
    widening = Widening(identity=uuid4().hex, line=line, issued=now, expires=now + life, limits=limits)
    text = signed_limits(widening, private_key(options.key))
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ConfigError(
            [f"{options.file}: {len(limits)} limits are more than one signature can hold: sign them in parts"]
        )
    return text


def _placed(reason: str, line: str, listed: Mapping[str, LimitSettings]) -> str:
    """Each fault with the place in the file of the limits that it speaks of."""
    signals = {f"{line}/{limit.signal}:": place for place, limit in listed.items()}
    return "\n".join(
        next((f"{place}: {fault}" for signal, place in signals.items() if signal in fault), fault)
        for fault in reason.splitlines()
    )
