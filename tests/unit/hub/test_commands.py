"""The hub's queue of commands: handed over once, dead in time, bounded, and judged only by the line it was for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.clock import VirtualClock
from edged.metrics import Metrics
from edged_cloud_sync.wire_commands import CommandState, WireCommand, WireVerdict
from edged_hub.commands import KEPT_COMMANDS, MAX_WAITING, Commands, HeldCommand, TooManyWaiting

BELT = "line_a/forming/belt_speed_setpoint"


class Hub:
    """The queue and its clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.commands = Commands(self.clock, Metrics())

    def add(self, node: str = "line_a", lives_seconds: float = 30.0) -> HeldCommand:
        return self.commands.add("anna", node, BELT, 150.0, lives_seconds)

    def states(self, node: str | None = None) -> list[CommandState]:
        return [held.state for held in self.commands.newest(node, 10_000)]


def test_a_command_is_handed_over_once_with_the_life_that_is_left() -> None:
    hub = Hub()
    held = hub.add()
    assert hub.states() == [CommandState.WAITING]
    hub.clock.tick(12.5)
    assert hub.commands.hand_over("line_a") == [WireCommand(held.identity, "anna", BELT, 150.0, 17.5)]
    hub.clock.tick(60.0)
    assert hub.states() == [CommandState.HANDED_OVER], "it has left, so that nobody here can say that it died"
    assert hub.commands.hand_over("line_a") == []


def test_another_line_gets_nothing() -> None:
    hub = Hub()
    hub.add("line_a")
    assert hub.commands.hand_over("line_b") == ()
    assert hub.states("line_b") == []
    assert hub.states("line_a") == [CommandState.WAITING]


def test_what_is_not_fetched_in_time_never_leaves() -> None:
    hub = Hub()
    hub.add(lives_seconds=5.0)
    hub.clock.tick(5.0)
    hub.clock.jump(-3600.0)
    assert hub.commands.hand_over("line_a") == []
    assert hub.states() == [CommandState.EXPIRED]
    assert hub.commands.newest("line_a", 1)[0].reason == "line_a did not fetch it in time"


def test_a_verdict_counts_once_and_only_from_the_line_that_was_asked() -> None:
    hub = Hub()
    held = hub.add()
    allowed = WireVerdict(held.identity, CommandState.ALLOWED)
    hub.commands.judge("line_a", [allowed])
    assert hub.states() == [CommandState.WAITING], "before it was handed over nobody can judge it"
    hub.commands.hand_over("line_a")
    hub.add("line_b")
    hub.commands.judge("line_b", [allowed])
    hub.commands.judge("line_c", [allowed])
    assert hub.states("line_a") == [CommandState.HANDED_OVER]
    hub.commands.judge("line_a", [WireVerdict(held.identity, CommandState.REFUSED, "limits: too much")])
    hub.commands.judge("line_a", [allowed, WireVerdict("f" * 32, CommandState.ALLOWED)])
    (found,) = hub.commands.newest("line_a", 9)
    assert (found.state, found.reason) == (CommandState.REFUSED, "limits: too much")


def test_too_many_waiting_are_refused_until_some_have_left_or_died() -> None:
    hub = Hub()
    for _ in range(MAX_WAITING):
        hub.add(lives_seconds=10.0)
    with pytest.raises(TooManyWaiting, match="node: 100 commands wait for line_a already"):
        hub.add()
    hub.add("line_b")
    hub.clock.tick(10.0)
    hub.add()
    assert len(hub.commands.hand_over("line_a")) == 1


def test_the_newest_come_first_and_the_oldest_are_forgotten() -> None:
    hub = Hub()
    for _ in range(KEPT_COMMANDS + 7):
        hub.add()
        hub.commands.hand_over("line_a")
    last = hub.add("line_b")
    held = hub.commands.newest(None, 10_000)
    assert len(held) == KEPT_COMMANDS + 1
    assert held[0] is last
    assert [one.number for one in held] == sorted((one.number for one in held), reverse=True)
    assert [one.identity for one in hub.commands.newest(None, 2)] == [one.identity for one in held[:2]]


STEPS = st.lists(st.tuples(st.sampled_from(["add", "fetch", "wait"]), st.floats(0.001, 60.0)), max_size=60)


@given(STEPS)
def test_whatever_happens_each_leaves_at_most_once_and_alive(steps: list[tuple[str, float]]) -> None:
    hub, sent = Hub(), list[str]()
    for step, seconds in steps:
        if step == "wait":
            hub.clock.tick(seconds)
        elif step == "add":
            hub.add(lives_seconds=seconds)
        else:
            left = hub.commands.hand_over("line_a")
            assert all(0.0 < command.lives_seconds <= 60.0 for command in left)
            sent += [command.identity for command in left]
    assert len(sent) == len(set(sent))
