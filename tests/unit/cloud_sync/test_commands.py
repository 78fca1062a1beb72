"""Commands of the hub at the edge: a proposal each or a reasoned refusal, aged by the edge's own clock, taken once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.clock import VirtualClock
from edged.errors import HubUnavailable
from edged.metrics import Metrics
from edged.proposals import MAX_WAITING_PROPOSALS
from edged.settings import HubSettings, Secret
from edged.supervise import start_task
from edged.types import Allowed, Clamped, Proposal, Refused, Signal, ValueType, Verdict, Waits
from edged_cloud_sync.client import HubBusy, HubClient, NotUnderstood
from edged_cloud_sync.commands import KEPT_VERDICTS, HubCommands
from edged_cloud_sync.memory import MemorySink
from edged_cloud_sync.uplink import Uplink
from edged_cloud_sync.wire import Answer, Envelope
from edged_cloud_sync.wire_commands import (
    MAX_COMMANDS,
    MAX_LIFE_SECONDS,
    MAX_REASON_LENGTH,
    CommandState,
    WireCommand,
    WireVerdict,
)

LINE = "line_a"
BELT = "line_a/forming/belt_speed_setpoint"
SIGNALS = {
    signal.path: signal
    for signal in (
        Signal(BELT, "m/min", writable=True),
        Signal("line_a/forming/thickness", "mm"),
        Signal("line_a/forming/zone", "1", ValueType.INT, writable=True),
        Signal("line_a/forming/recipe", "1", ValueType.STRING, writable=True),
    )
}


class Desk:
    """Judges as it is told to; like the gate it refuses what has expired."""

    def __init__(self, clock: VirtualClock, verdict: Verdict | None = None, seconds: float = 0.0) -> None:
        self.clock = clock
        self.verdict = verdict
        self.seconds = seconds
        self.asked: list[Proposal] = []

    async def submit(self, proposal: Proposal) -> Verdict:
        if self.seconds:
            await self.clock.sleep(self.seconds)
        self.asked.append(proposal)
        if not self.clock.monotonic() < proposal.expires:
            return Refused("mode: the proposal has expired")
        return self.verdict or Allowed(proposal.value)


class Edge:
    """What the daemon puts together, with a desk of the test's own."""

    def __init__(self, verdict: Verdict | None = None, *, allowed: bool = True, desk_seconds: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.desk = Desk(self.clock, verdict, desk_seconds)
        self.commands = HubCommands(self.desk, SIGNALS, LINE, self.clock, Metrics(), allowed=allowed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = start_task("commands", self.commands.submit())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def judged(self, *commands: WireCommand, asked: float | None = None) -> list[WireVerdict]:
        """The verdicts of commands that came with one answer."""
        async with self.running():
            self.commands.take(commands, self.clock.monotonic() if asked is None else asked)
            await self.clock.advance(0.0)
            return list(self.commands.take_verdicts())


def command(number: int = 1, signal: str = BELT, value: float = 150.0, lives_seconds: float = 30.0) -> WireCommand:
    return WireCommand(f"{number:032x}", "anna", signal, value, lives_seconds)


async def test_a_command_becomes_a_proposal_that_names_the_person() -> None:
    edge = Edge()
    (verdict,) = await edge.judged(command())
    assert verdict == WireVerdict(f"{1:032x}", CommandState.ALLOWED)
    (proposal,) = edge.desk.asked
    assert (proposal.source, proposal.identity, proposal.who) == ("hub", "anna", "hub anna")
    assert (proposal.signal, proposal.value, proposal.low, proposal.high) == (BELT, 150.0, None, None)
    assert (edge.commands.accepted, edge.commands.refused) == (1, 0)


@pytest.mark.parametrize(
    ("verdict", "state", "reason"),
    [
        (Clamped(140.0, "limits: high is 140"), CommandState.CLAMPED, "limits: high is 140"),
        (Refused("limits: 150 is too much"), CommandState.REFUSED, "limits: 150 is too much"),
        (Waits("approval: 150 is beyond", 150.0), CommandState.NEEDS_APPROVAL, "approval: 150 is beyond"),
        (Refused("x" * 9000), CommandState.REFUSED, "x" * MAX_REASON_LENGTH),
        (Refused("broken \ud800 text"), CommandState.REFUSED, "broken ? text"),
    ],
)
async def test_the_gates_reasons_go_back(verdict: Verdict, state: CommandState, reason: str) -> None:
    edge = Edge(verdict)
    assert await edge.judged(command()) == [WireVerdict(f"{1:032x}", state, reason)]
    assert edge.commands.refused == (state is CommandState.REFUSED)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (command(signal="line_b/forming/belt_speed_setpoint"), "signal: this is line_a, got line_b/forming/belt"),
        (command(signal="line_aa/forming/belt_speed_setpoint"), "signal: this is line_a, got line_aa/"),
        (command(signal="line_a/forming/nothing"), "signal: line_a has no line_a/forming/nothing"),
        (command(signal="line_a/forming/thickness"), "signal: line_a/forming/thickness is not writable"),
        (command(signal="line_a/forming/recipe"), "value: line_a/forming/recipe is a string"),
        (command(signal="line_a/forming/zone", value=1.5), "value: line_a/forming/zone takes whole numbers, got 1.5"),
    ],
)
async def test_what_can_never_be_written_is_refused_and_no_desk_asked(wrong: WireCommand, reason: str) -> None:
    edge = Edge()
    (verdict,) = await edge.judged(wrong)
    assert verdict.state is CommandState.REFUSED
    assert verdict.reason.startswith(reason)
    assert edge.desk.asked == []


async def test_switched_off_every_command_is_refused_by_name() -> None:
    edge = Edge(allowed=False)
    (verdict,) = await edge.judged(command())
    assert verdict.state is CommandState.REFUSED
    assert verdict.reason == "commands: hub.commands is false in the configuration of line_a"
    assert edge.desk.asked == []


async def test_a_command_is_taken_once() -> None:
    edge = Edge()
    assert len(await edge.judged(command(1), command(1), command(2))) == 2
    assert await edge.judged(command(2), command(1)) == []
    assert len(edge.desk.asked) == 2


async def test_it_ages_from_when_the_post_was_sent_whatever_the_wall_clock_does() -> None:
    edge = Edge()
    edge.clock.tick(100.0)
    edge.clock.jump(-86_400.0)
    (late,) = await edge.judged(command(1, lives_seconds=30.0), asked=69.9)
    (fresh,) = await edge.judged(command(2, lives_seconds=30.0), asked=70.1)
    assert (late.state, late.reason) == (CommandState.REFUSED, "mode: the proposal has expired")
    assert fresh.state is CommandState.ALLOWED


@given(st.floats(0.001, MAX_LIFE_SECONDS), st.floats(0.0, 200.0), st.floats(0.0, 200.0))
async def test_whatever_delays_it_nothing_is_allowed_after_its_life(life: float, way: float, queue: float) -> None:
    edge = Edge(desk_seconds=queue)
    asked = edge.clock.monotonic()
    edge.clock.tick(way)
    async with edge.running():
        edge.commands.take([command(lives_seconds=life)], asked)
        await edge.clock.advance(queue)
    (verdict,) = edge.commands.take_verdicts()
    assert (verdict.state is CommandState.ALLOWED) is (edge.clock.monotonic() - asked < life)


async def test_more_than_the_queue_holds_are_refused_at_once() -> None:
    edge = Edge(desk_seconds=1.0)
    edge.commands.take([command(number) for number in range(MAX_WAITING_PROPOSALS + 3)], 0.0)
    verdicts = edge.commands.take_verdicts()
    assert len(verdicts) == 3
    assert all(verdict.reason == "commands: 100 wait for the gate already" for verdict in verdicts)


async def test_verdicts_are_bounded_and_come_in_order_also_after_they_were_given_back() -> None:
    edge = Edge(allowed=False)
    edge.commands.take([command(number) for number in range(KEPT_VERDICTS + 5)], 0.0)
    assert edge.commands.judged
    first = edge.commands.take_verdicts()
    assert [verdict.identity for verdict in first] == [f"{number:032x}" for number in range(5, 5 + MAX_COMMANDS)]
    edge.commands.give_back(first)
    assert edge.commands.take_verdicts() == first


class FakeClient(HubClient):
    """A hub without a network: it answers as the test says, or fails."""

    def __init__(self, *answers: Answer | HubUnavailable, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.answers = list(answers)
        self.meanwhile = meanwhile
        self.seen: list[Envelope] = []

    async def post(self, envelope: Envelope) -> Answer:
        self.seen.append(envelope)
        answer = self.answers.pop(0)
        self.meanwhile()
        if isinstance(answer, HubUnavailable):
            raise answer
        return answer


def uplink(edge: Edge) -> Uplink:
    settings = HubSettings(secret=Secret(file=Path("/nowhere")), commands=True)
    return Uplink(settings, LINE, MemorySink(), edge.commands, edge.clock, Metrics())


async def test_commands_of_an_answer_are_judged_and_the_verdicts_ride_on_the_next_post() -> None:
    edge = Edge()
    link, client = uplink(edge), FakeClient(Answer([], commands=[command()]), Answer([]), Answer([]))
    async with edge.running():
        await link._post(client, [])
        await edge.clock.advance(0.0)
        await link._post(client, [])
        await link._post(client, [])
    told = [list(envelope.verdicts) for envelope in client.seen]
    assert told == [[], [WireVerdict(f"{1:032x}", CommandState.ALLOWED)], []]
    assert (link.status().accepted_commands, link.status().refused_commands) == (1, 0)


@pytest.mark.parametrize(
    ("seconds", "jump", "state"),
    [
        (29.0, 0.0, CommandState.ALLOWED),
        (31.0, 0.0, CommandState.REFUSED),
        (31.0, -3600.0, CommandState.REFUSED),
        (1.0, -3600.0, CommandState.ALLOWED),
        (0.1, 3600.0, CommandState.REFUSED),
    ],
)
async def test_a_post_that_was_held_up_brings_no_old_command(seconds: float, jump: float, state: CommandState) -> None:
    """Held up on the way, or through a suspend, in which only the wall clock goes on; a life never gets longer."""
    edge = Edge()

    def held_up() -> None:
        edge.clock.tick(seconds)
        edge.clock.jump(jump)

    client = FakeClient(Answer([], commands=[command(lives_seconds=30.0)]), meanwhile=held_up)
    async with edge.running():
        await uplink(edge)._post(client, [])
        await edge.clock.advance(0.0)
    (verdict,) = edge.commands.take_verdicts()
    assert verdict.state is state


async def test_a_verdict_does_not_wait_for_values_or_a_heartbeat() -> None:
    edge = Edge(allowed=False)
    link, client = uplink(edge), FakeClient(Answer([]))
    edge.commands.take([command()], 0.0)
    task = start_task("uplink", link._deliver(client))
    async with asyncio.timeout(10.0):
        while not client.seen:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert [verdict.identity for verdict in client.seen[0].verdicts] == [f"{1:032x}"]
    assert edge.clock.monotonic() == 0.0


async def test_a_slow_desk_does_not_delay_the_next_post() -> None:
    edge = Edge(desk_seconds=3600.0)
    link, client = uplink(edge), FakeClient(*[Answer([], commands=[command(number)]) for number in range(300)])
    async with edge.running():
        for _ in range(300):
            await link._post(client, [])
    assert len(client.seen) == 300
    assert edge.clock.monotonic() == 0.0


@pytest.mark.parametrize("fault", [HubUnavailable("gone"), HubBusy(1.0, "busy")])
async def test_verdicts_that_did_not_arrive_are_told_again(fault: HubUnavailable) -> None:
    edge = Edge(allowed=False)
    link, client = uplink(edge), FakeClient(fault, Answer([]))
    edge.commands.take([command()], 0.0)
    with pytest.raises(HubUnavailable):
        await link._post(client, [])
    await link._post(client, [])
    assert client.seen[0].verdicts == client.seen[1].verdicts != []


async def test_a_hub_that_knows_no_verdicts_gets_them_once_and_everything_else_from_then_on() -> None:
    edge = Edge(allowed=False)
    link, client = uplink(edge), FakeClient(NotUnderstood("400 envelope: expected a map"), Answer([]))
    edge.commands.take([command()], 0.0)
    with pytest.raises(HubUnavailable):
        await link._post(client, [])
    await link._post(client, [])
    assert client.seen[1].verdicts == []
