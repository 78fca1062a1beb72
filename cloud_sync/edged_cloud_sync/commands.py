"""Commands of the hub's users at the edge: each becomes a proposal for the gate, and its verdict goes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial

from edged.clock import Clock
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import ProposalDesk
from edged.proposals import COMMAND_PRIORITY, MAX_WAITING_PROPOSALS, ProposalQueue
from edged.types import Clamped, Proposal, Refused, Signal, ValueType, Verdict, Waits
from edged_cloud_sync.wire_commands import MAX_COMMANDS, MAX_REASON_LENGTH, CommandState, WireCommand, WireVerdict

COMMAND_SOURCE = "hub"
KEPT_VERDICTS = 1000
"""While the hub can't be told; then the oldest are given up: log and records have them."""
KNOWN_COMMANDS = 1000
"""The last so many are recognised where they come again, which the hub never lets happen."""
DUPLICATE = "duplicate"

log = get_logger("hub_commands")


class HubCommands:
    """Takes what the hub hands over without ever waiting; `submit` runs beside the uplink."""

    def __init__(
        self,
        desk: ProposalDesk | None,
        signals: Mapping[str, Signal],
        line: str,
        clock: Clock,
        metrics: Metrics,
        *,
        allowed: bool,
    ) -> None:
        self._queue = ProposalQueue(desk)
        self._signals = signals
        self._line = line
        self._clock = clock
        self._allowed = allowed
        self._known: deque[str] = deque(maxlen=KNOWN_COMMANDS)
        self._verdicts: deque[WireVerdict] = deque(maxlen=KEPT_VERDICTS)
        self._counter = metrics.counter("edged_uplink_commands_total", "Commands by what became of them", ("outcome",))
        self.accepted = 0
        self.refused = 0

    @property
    def judged(self) -> bool:
        """Whether there are verdicts that the hub has not got yet."""
        return bool(self._verdicts)

    def take(self, commands: Sequence[WireCommand], asked: float) -> None:
        """Commands in the answer to a POST that was sent at `asked` (monotonic seconds): from then on they age."""
        for command in commands:
            if command.identity in self._known:
                self._counter.labels(DUPLICATE).inc()
                log.warning("command_repeated", command=command.identity, signal=command.signal)
                continue
            self._known.append(command.identity)
            fault = self._unfit(command) or self._offer(command, asked + command.lives_seconds)
            if fault:
                self._told(command, Refused(fault))

    async def submit(self) -> None:
        """Hands them to the desk, one after the other, until cancelled."""
        await self._queue.submit()

    def take_verdicts(self) -> Sequence[WireVerdict]:
        """The oldest verdicts, as many as one POST carries. They are gone unless they are given back."""
        return [self._verdicts.popleft() for _ in range(min(MAX_COMMANDS, len(self._verdicts)))]

    def give_back(self, verdicts: Sequence[WireVerdict]) -> None:
        """These did not arrive at the hub."""
        self._verdicts.extendleft(reversed(verdicts))

    def _unfit(self, command: WireCommand) -> str:
        """Why the gate need not even be asked; empty when it must be."""
        if not self._allowed:
            return f"commands: hub.commands is false in the configuration of {self._line}"
        signal = self._signals.get(command.signal)
        if not command.signal.startswith(f"{self._line}/"):
            return f"signal: this is {self._line}, got {command.signal}"
        if signal is None:
            return f"signal: {self._line} has no {command.signal}"
        if not signal.writable:
            return f"signal: {command.signal} is not writable"
        if signal.type not in (ValueType.FLOAT, ValueType.INT):
            return f"value: {command.signal} is a {signal.type}, a command carries a number"
        if signal.type is ValueType.INT and not command.value.is_integer():
            return f"value: {command.signal} takes whole numbers, got {command.value:g}"
        return ""

    def _offer(self, command: WireCommand, expires: float) -> str:
        """Lines it up for the gate; why not, or nothing."""
        proposal = Proposal(
            source=COMMAND_SOURCE,
            signal=command.signal,
            value=command.value,
            priority=COMMAND_PRIORITY,
            expires=expires,
            identity=command.user,
        )
        lined_up = self._queue.offer(proposal, partial(self._told, command))
        return "" if lined_up else f"commands: {MAX_WAITING_PROPOSALS} wait for the gate already"

    def _told(self, command: WireCommand, verdict: Verdict) -> None:
        state, reason = _state(verdict), "" if not isinstance(verdict, Clamped | Refused) else verdict.reason
        told = reason.encode("utf-8", "replace").decode()[:MAX_REASON_LENGTH]
        self._verdicts.append(WireVerdict(command.identity, state, told))
        self._counter.labels(state.value).inc()
        if state is CommandState.REFUSED:
            self.refused += 1
        else:
            self.accepted += 1
        log.info(
            "command_judged", user=command.user, signal=command.signal, value=command.value, verdict=state, reason=told
        )


def _state(verdict: Verdict) -> CommandState:
    match verdict:
        case Waits():
            return CommandState.NEEDS_APPROVAL
        case Refused():
            return CommandState.REFUSED
        case Clamped():
            return CommandState.CLAMPED
        case _:
            return CommandState.ALLOWED
