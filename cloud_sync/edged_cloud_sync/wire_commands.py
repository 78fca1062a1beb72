"""Commands of the hub's users on the wire: they ride in the answers to POSTs, their verdicts in later envelopes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from edged_cloud_sync.wire_fields import WireError, fields, finite_number, items, shown, text

ACCEPTS_HEADER = "Edged-Accepts"
ACCEPTS_COMMANDS = "commands"
"""An edge that understands commands says so in this header of its POSTs; only such a one is handed any."""
MAX_LIFE_SECONDS = 60.0
MAX_COMMANDS = 100
"""In one answer, and verdicts in one envelope."""
MAX_REASON_LENGTH = 500
MAX_SIGNAL_LENGTH = 200
IDENTITY_PATTERN = re.compile(r"[0-9a-f]{32}")
USER_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")
SIGNAL_PATTERN = re.compile(r"[a-z][a-z0-9_]*(/[a-z0-9][a-z0-9_]*){2,}")


class CommandState(StrEnum):
    """What became of a command: first at the hub, then by the verdict of the edge. `needs_approval` wrote nothing."""

    WAITING = "waiting"
    HANDED_OVER = "handed_over"
    EXPIRED = "expired"
    ALLOWED = "allowed"
    CLAMPED = "clamped"
    REFUSED = "refused"
    NEEDS_APPROVAL = "needs_approval"


VERDICTS = (CommandState.ALLOWED, CommandState.CLAMPED, CommandState.REFUSED, CommandState.NEEDS_APPROVAL)


class WireCommand(NamedTuple):
    """A user's wish. It is dead `lives_seconds` after the edge sent the POST that it answers, by the edge's clock."""

    identity: str
    user: str
    signal: str
    value: float
    lives_seconds: float


class WireVerdict(NamedTuple):
    """What the edge made of a command, and why; `state` is one of VERDICTS."""

    identity: str
    state: CommandState
    reason: str = ""


def encode_commands(commands: Sequence[WireCommand]) -> list[dict[str, Any]]:
    """As they stand in an answer."""
    return [
        {"id": identity, "user": user, "signal": signal, "value": value, "lives_seconds": lives_seconds}
        for identity, user, signal, value, lives_seconds in commands
    ]


def decode_commands(item: object) -> list[WireCommand]:
    """Raises WireError."""
    found = enumerate(items(item, "commands", MAX_COMMANDS))
    return [_command(entry, f"commands[{number}]") for number, entry in found]


def encode_verdicts(verdicts: Sequence[WireVerdict]) -> list[dict[str, str]]:
    """As they stand in an envelope."""
    return [{"id": identity, "verdict": state.value, "reason": reason} for identity, state, reason in verdicts]


def decode_verdicts(item: object) -> list[WireVerdict]:
    """Raises WireError."""
    found = enumerate(items(item, "verdicts", MAX_COMMANDS))
    return [_verdict(entry, f"verdicts[{number}]") for number, entry in found]


def _command(entry: object, where: str) -> WireCommand:
    given = fields(entry, where, ("id", "user", "signal", "value", "lives_seconds"))
    signal = text(given["signal"], f"{where}.signal", SIGNAL_PATTERN)
    if len(signal) > MAX_SIGNAL_LENGTH:
        raise WireError(f"{where}.signal: expected at most {MAX_SIGNAL_LENGTH} characters, got {len(signal)}")
    lives_seconds = finite_number(given["lives_seconds"], f"{where}.lives_seconds")
    if not 0.0 < lives_seconds <= MAX_LIFE_SECONDS:
        raise WireError(f"{where}.lives_seconds: expected 0..{MAX_LIFE_SECONDS:g}, got {lives_seconds:g}")
    return WireCommand(
        text(given["id"], f"{where}.id", IDENTITY_PATTERN),
        text(given["user"], f"{where}.user", USER_PATTERN),
        signal,
        finite_number(given["value"], f"{where}.value"),
        lives_seconds,
    )


def _verdict(entry: object, where: str) -> WireVerdict:
    given = fields(entry, where, ("id", "verdict", "reason"))
    state = next((known for known in VERDICTS if known == given["verdict"]), None)
    if state is None:
        raise WireError(f"{where}.verdict: expected one of {', '.join(VERDICTS)}, got {shown(given['verdict'])}")
    reason = given["reason"]
    if not isinstance(reason, str) or len(reason) > MAX_REASON_LENGTH:
        raise WireError(f"{where}.reason: expected at most {MAX_REASON_LENGTH} characters, got {shown(reason)}")
    return WireVerdict(text(given["id"], f"{where}.id", IDENTITY_PATTERN), state, reason)
