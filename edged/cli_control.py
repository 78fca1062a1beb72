"""The command `edged control`: what operators and engineers do at the box; `edged.cli_approve` has the approvals."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from edged.cli_approve import add_approvals
from edged.cli_limits import add_limits
from edged.errors import ConfigError, EdgedError
from edged.operators import Operators
from edged.ports import Action, Outcome, Role
from edged.status import NoStatus, ask, control_status, fetch
from edged.subcommand import FAILED, Commands, add_command
from edged.table import render

STATUS_URL = "http://127.0.0.1:8470"
OPERATORS_FILE = "/etc/edged/operators.json"
OPERATORS_VARIABLE = "EDGED_OPERATORS"
TOKEN_VARIABLE = "EDGED_OPERATOR_TOKEN"  # noqa: S105 - the name of a variable that names a file
OWNER_ONLY = 0o600
SHOWN = ("loops", "limits", "alarms")
MODES = ("AUTO", "MAN", "OOS")

CONTROL_EXAMPLE = """\
example:
  edged control add-operator anna --role operator         makes anna.token, once
  export EDGED_OPERATOR_TOKEN=anna.token
  edged control status                                    every loop: modes, values, what it waits for
  edged control mode thickness MAN --reason "grade test"  the loop holds its output
  edged control output thickness 155                      in MAN: walk there within the rate
  edged control setpoint thickness 4.1                    what the loop holds its process value at
  edged control rollback thickness                        back to what it was, while the change is watched
  edged control mode thickness AUTO
  edged control override thickness                        after somebody moved the output at the plant: give it back
  edged control keygen chris                              an engineer's key pair; chris.pub goes to the box
  edged control approve thickness --key chris.key         let the move go on that waits for an approval
  edged control limits tight.yaml --reason "new rollers"  other limits; wider ones with --key and the loop in MAN

Everything is asked of the running daemon, on this machine only, judged by the gate, and recorded with your name.
exit status: 0 done or waiting for an approval, 1 refused or failed, 2 wrong usage
"""


def add_control(commands: Commands) -> None:
    """Declares the command and what is below it."""
    control = add_command(commands, "control", "operate the loops of a running daemon", CONTROL_EXAMPLE, None)
    below = control.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = add_command(below, "status", "show every loop", CONTROL_EXAMPLE, _status)
    _add_url(status)
    status.add_argument("--token-file", type=Path, metavar="FILE", help="the pages' token, when http.token is set")
    mode = _add_order(below, "mode", "choose the mode of a loop", _mode)
    mode.add_argument("mode", metavar="MODE", type=str.upper, choices=MODES, help="AUTO, MAN, or OOS (engineers only)")
    set_point = _add_order(below, "setpoint", "change what a loop holds its process value at", _set_point)
    set_point.add_argument("value", metavar="VALUE", type=float, help="in the unit of the process value")
    output = _add_order(below, "output", "move the output of a loop in MAN, within the rate", _output)
    output.add_argument("value", metavar="VALUE", type=float, help="in the unit of the output")
    _add_order(below, "override", "end a local override: the loop controls again", _override)
    _add_order(below, "rollback", "go back to the set-point before the last change", _roll_back)
    add_approvals(below, _add_asking, _order)
    add_limits(below, _add_asking, _order)
    _add_people(below)


def _add_people(commands: Commands) -> None:
    add = add_command(commands, "add-operator", "make an operator and write the token", CONTROL_EXAMPLE, _add_operator)
    add.add_argument("name", metavar="NAME", help="lower case, digits and underscores")
    add.add_argument("--role", choices=[role.value for role in Role], default=Role.OPERATOR.value)
    add.add_argument("--out", type=Path, metavar="FILE", help="where the token goes (default NAME.token)")
    remove = add_command(commands, "remove-operator", "take an operator out", CONTROL_EXAMPLE, _remove_operator)
    remove.add_argument("name", metavar="NAME")
    listed = add_command(commands, "operators", "list the operators", CONTROL_EXAMPLE, _list_operators)
    for parser in (add, remove, listed):
        parser.add_argument(
            "--file",
            type=Path,
            default=Path(os.environ.get(OPERATORS_VARIABLE, OPERATORS_FILE)),
            metavar="FILE",
            help=f"control.operators of the configuration (default: ${OPERATORS_VARIABLE}, or {OPERATORS_FILE})",
        )


def _add_order(
    commands: Commands, name: str, summary: str, command: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser = add_command(commands, name, summary, CONTROL_EXAMPLE, command)
    parser.add_argument("loop", metavar="LOOP", help="the loop's name in the configuration")
    _add_asking(parser)
    return parser


def _add_asking(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    token = os.environ.get(TOKEN_VARIABLE)
    parser.add_argument("--reason", default="", help="goes into the record")
    parser.add_argument(
        "--token-file",
        type=Path,
        default=Path(token) if token else None,
        metavar="FILE",
        help=f"the operator's token (default: ${TOKEN_VARIABLE})",
    )


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default=STATUS_URL, help=f"where the daemon's pages are (default {STATUS_URL})")


def _status(options: argparse.Namespace) -> int:
    operator = os.environ.get(TOKEN_VARIABLE)
    if options.token_file is None and operator:
        answer = control_status(options.url, Path(operator))
    else:
        answer = fetch(options.url, options.token_file)
    print(render({"line": answer.get("line"), **{name: answer.get(name) for name in SHOWN}}))
    return 0


def _mode(options: argparse.Namespace) -> int:
    return _order(options, Action.MODE, options.loop, options.mode)


def _set_point(options: argparse.Namespace) -> int:
    return _order(options, Action.SET_POINT, options.loop, options.value)


def _output(options: argparse.Namespace) -> int:
    return _order(options, Action.OUTPUT, options.loop, options.value)


def _override(options: argparse.Namespace) -> int:
    return _order(options, Action.OVERRIDE, options.loop, None)


def _roll_back(options: argparse.Namespace) -> int:
    return _order(options, Action.ROLL_BACK, options.loop, None)


def _order(
    options: argparse.Namespace,
    action: Action,
    target: str,
    value: object,
    reworded: Callable[[str], str] = str,
) -> int:
    """Hands one order over and prints what became of it; `reworded` puts the daemon's reason in words of the file."""
    if options.token_file is None:
        raise ConfigError([f"--token-file: name the operator's token, or set {TOKEN_VARIABLE}"])
    order = {"target": target, "value": value, "reason": options.reason}
    reply = ask(options.url, f"/control/{action}", options.token_file, order)
    if reply.body is None or "outcome" not in reply.body:
        raise NoStatus(f"{options.url} is not an edged daemon with control (HTTP {reply.status})")
    outcome, reason = reply.body["outcome"], reworded(str(reply.body.get("reason") or ""))
    good = outcome in (Outcome.ACCEPTED, Outcome.WAITS)
    print(f"{action} {target}: {outcome}{f': {reason}' if reason else ''}", file=sys.stdout if good else sys.stderr)
    return 0 if good else FAILED


def _add_operator(options: argparse.Namespace) -> int:
    out = options.out or Path(f"{options.name}.token")
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except OSError as fault:
        raise EdgedError(f"the token can't be written to {out}: {fault.strerror}") from fault
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(Operators(options.file).add(options.name, Role(options.role)) + "\n")
    except (EdgedError, OSError) as fault:
        out.unlink()
        raise EdgedError(str(fault)) from fault
    print(f"{options.name} is an {options.role} in {options.file}; the token is in {out} and nowhere else")
    return 0


def _remove_operator(options: argparse.Namespace) -> int:
    try:
        Operators(options.file).remove(options.name)
    except OSError as fault:
        raise EdgedError(str(fault)) from fault
    print(f"{options.name} is taken out of {options.file}; the token is refused from now on")
    return 0


def _list_operators(options: argparse.Namespace) -> int:
    for operator in Operators(options.file).names():
        print(f"{operator.name:<24} {operator.role}")
    return 0
