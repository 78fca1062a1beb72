"""The pipe between the plant and its faces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged_sim.link import (
    PIPE_BYTES,
    Inbox,
    LinkBroken,
    LocalSet,
    Message,
    Ready,
    Refusal,
    Security,
    Setup,
    Tick,
    UnitLine,
    Written,
    decode,
    encode,
)
from edged_sim.plant import Plant
from edged_sim.schedule import Sensors
from edged_sim.tags import Face, tags_of

MESSAGES: list[Message] = [
    Setup(Face.OPCUA, 4840, "/tmp/j", "3.1.1", Security("user", "pw", required=True)),
    Tick(5, [1.5, None, True, "none", 3], [UnitLine("A-1", False, "crack")], [Refusal("input", 1, 2, 4)], 0.5),
    LocalSet("forming/running", False),
    Ready(4840),
    Written("forming/belt_speed_setpoint", 151.0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"no json", b'{"t": 1}', b'{"face": "opc"}', b'{"ready": 1, "x": 2}']
)
def test_nonsense_is_refused_by_name(line: bytes) -> None:
    with pytest.raises(LinkBroken):
        decode(line)


@given(st.binary())
def test_no_bytes_bring_anything_but_a_message_or_the_fault(line: bytes) -> None:
    try:
        decode(line)
    except LinkBroken:
        return


def test_a_tick_of_every_face_fits_into_one_write() -> None:
    readings = Sensors(1, ()).read(Plant(1).readings(), 0.0)
    for face in Face:
        values = [readings.get(tag.path, 0) for tag in tags_of(face)]
        line = encode(Tick(1_795_221_846_660, values, [UnitLine("19d3a8f4f5b-0000001", False, "stress_fracture")] * 3))
        assert len(line) < PIPE_BYTES / 3


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(LinkBroken, match="at most"):
        encode(Tick(1, ["x" * PIPE_BYTES]))


async def test_the_inbox_puts_torn_lines_together_and_ends_when_the_pipe_does() -> None:
    inbox = Inbox()
    data = encode(Tick(1, [1.0])) + encode(Tick(2, [2.0]))
    for position in range(0, len(data), 7):
        inbox.data_received(data[position : position + 7])
    assert [await inbox.take(), await inbox.take()] == [Tick(1, [1.0]), Tick(2, [2.0])]
    inbox.connection_lost(None)
    assert await inbox.take() is None


async def test_with_newest_only_stale_ticks_give_way_but_nothing_else_does() -> None:
    inbox = Inbox()
    inbox.newest_only = True
    sent: list[Message] = [Tick(1, []), Tick(2, []), LocalSet("a", 1.0), Tick(3, []), Tick(4, []), Tick(5, [])]
    inbox.data_received(b"".join(encode(message) for message in sent))
    assert [await inbox.take() for _ in range(3)] == [Tick(2, []), LocalSet("a", 1.0), Tick(5, [])]
