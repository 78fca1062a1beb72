"""What users ask of lines. In memory alone: a command lives for a minute at most and is handed over at most once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from edged.clock import Clock
from edged.errors import EdgedError
from edged.log import get_logger
from edged.metrics import Metrics
from edged_cloud_sync.wire_commands import MAX_COMMANDS, CommandState, WireCommand, WireVerdict

MAX_WAITING = MAX_COMMANDS
"""For each line: so many leave with one answer."""
KEPT_COMMANDS = 1000
"""For each line; the oldest are forgotten."""

log = get_logger("hub.commands")


class TooManyWaiting(EdgedError):
    """The line has not fetched what waits for it: is it connected?"""


@dataclass(slots=True)
class HeldCommand:
    """One command and what became of it. `time` in ns UTC, `expires` in monotonic seconds of the hub."""

    number: int
    identity: str
    node: str
    user: str
    signal: str
    value: float
    time: int
    expires: float
    state: CommandState = CommandState.WAITING
    reason: str = ""


@dataclass(slots=True)
class _Line:
    kept: deque[HeldCommand] = field(default_factory=lambda: deque(maxlen=KEPT_COMMANDS))
    waiting: list[HeldCommand] = field(default_factory=list)


class Commands:
    """The commands of all lines."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._last = 0
        self._counter = metrics.counter("edged_hub_commands_total", "Commands by what became of them", ("outcome",))

    def add(self, user: str, node: str, signal: str, value: float, lives_seconds: float) -> HeldCommand:
        """A new command, which waits for the line's next POST. Raises TooManyWaiting."""
        line = self._lines.setdefault(node, _Line())
        self._expire(line)
        if len(line.waiting) >= MAX_WAITING:
            raise TooManyWaiting(f"node: {MAX_WAITING} commands wait for {node} already")
        self._last += 1
        expires = self._clock.monotonic() + lives_seconds
        time = self._clock.now()
        command = HeldCommand(self._last, uuid4().hex, node, user, signal, value, time, expires)
        line.kept.append(command)
        line.waiting.append(command)
        log.info("command_taken", command=command.identity, user=user, node=node, signal=signal, value=value)
        return command

    def hand_over(self, node: str) -> Sequence[WireCommand]:
        """What waits for a line, with the life that is left; from now on it counts as sent, whatever comes of that."""
        line = self._lines.get(node)
        if line is None:
            return ()
        self._expire(line)
        now, waiting = self._clock.monotonic(), line.waiting
        line.waiting = []
        for command in waiting:
            self._turn(command, CommandState.HANDED_OVER)
        return [WireCommand(one.identity, one.user, one.signal, one.value, one.expires - now) for one in waiting]

    def judge(self, node: str, verdicts: Sequence[WireVerdict]) -> None:
        """What a line made of commands that it was handed; of others it can't tell anything."""
        line = self._lines.get(node)
        if line is None or not verdicts:
            return
        known = {command.identity: command for command in line.kept}
        for identity, state, reason in verdicts:
            command = known.get(identity)
            if command is not None and command.state is CommandState.HANDED_OVER:
                self._turn(command, state, reason)

    def newest(self, node: str | None, limit: int) -> Sequence[HeldCommand]:
        """The newest `limit`, of one line or of all, newest first."""
        lines = list(self._lines.values()) if node is None else [self._lines.get(node, _Line())]
        for line in lines:
            self._expire(line)
        held = [command for line in lines for command in line.kept]
        return sorted(held, key=lambda command: command.number, reverse=True)[:limit]

    def _expire(self, line: _Line) -> None:
        now = self._clock.monotonic()
        for command in line.waiting:
            if now >= command.expires:
                self._turn(command, CommandState.EXPIRED, f"{command.node} did not fetch it in time")
        line.waiting = [command for command in line.waiting if command.state is CommandState.WAITING]

    def _turn(self, command: HeldCommand, state: CommandState, reason: str = "") -> None:
        command.state, command.reason = state, reason
        self._counter.labels(state.value).inc()
        log.info("command_state", command=command.identity, node=command.node, state=state.value, reason=reason)
