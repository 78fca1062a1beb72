"""A damaged outbox file at start: what can be read still reaches the hub, the rest is a Gap, nothing stops (CARD5)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.line import LineStack
from bench.processes import mosquitto
from tests.acceptance.bad_input_rig import Json, finish, held_gaps, log_lines, start_line, until

PAGE_BYTES = 4096
WAITING_BATCHES = 20
"""So many batches of process values wait in the file when it is damaged: four seconds of the line."""

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed"),
]


def overwrite(file: Path, at: int, count: int) -> None:
    """Random bytes in place of what stands there."""
    assert file.stat().st_size >= at + count, (file, file.stat().st_size)
    with file.open("r+b") as damaged:
        damaged.seek(at)
        damaged.write(random.Random(7).randbytes(count))


def header(outbox: Path) -> None:
    """The first page of the file."""
    overwrite(outbox, 0, PAGE_BYTES)


def middle(outbox: Path) -> None:
    """A fifth of the file, in its middle."""
    size = outbox.stat().st_size
    overwrite(outbox, size * 2 // 5, size // 5)


def log(outbox: Path) -> None:
    """The middle of the write-ahead log that a killed daemon left."""
    file = outbox.with_name(outbox.name + "-wal")
    size = file.stat().st_size
    overwrite(file, size // 2, PAGE_BYTES)


@dataclass(frozen=True)
class Damage:
    """How the daemon ended and what then happened to its file."""

    do: Callable[[Path], None]
    killed: bool
    readable: bool
    """Whether everything that was in the file can still be read."""


DAMAGES = (
    Damage(header, killed=False, readable=True),
    Damage(middle, killed=False, readable=False),
    Damage(log, killed=True, readable=False),
)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineStack]:
    """The whole line, running."""
    with LineStack(tmp_path_factory.mktemp("outbox") / "line") as stack:
        start_line(stack)
        yield stack


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.do.__name__)
def test_a_damaged_outbox_is_set_aside_and_drains(line: LineStack, damage: Damage) -> None:
    line.wait_until_drained()
    asides, gaps = len(log_lines(line.processes["edged"], "outbox_set_aside")), len(held_outbox_gaps(line))
    line.processes["hub"].kill()
    before = until(line, "a backlog", lambda s: s["outbox"]["sinks"][0]["process_batches"] >= WAITING_BATCHES)
    line.processes["edged"].kill() if damage.killed else line.processes["edged"].stop()
    damage.do(line.edge_data / "outbox.db")
    line.start_hub()
    edge = line.start_edge()
    line.wait_for_data()
    after = until(line, "old and new to drain", drained)
    line.wait_until_drained()

    assert after["outbox"]["stream"] != before["outbox"]["stream"]
    told = log_lines(edge, "outbox_set_aside")[asides:]
    assert [(line.edge_data / one["file"]).exists() for one in told] == [True]
    old = held_lane(line, before["outbox"]["stream"])
    assert old["missing"] == []
    new_gaps = held_outbox_gaps(line)[gaps:]
    head = before["outbox"]["lanes"][0]["head"]
    if damage.readable:
        assert (old["held"][0]["first"], old["given_up"], new_gaps) == (1, [], [])
        assert old["batches"] >= head
    else:
        assert head - WAITING_BATCHES < old["batches"] < head, "some of what waited was lost, but not all of it"
        assert {gap["stream"] for gap in new_gaps} == {before["outbox"]["stream"]}


def drained(status: Json) -> bool:
    """The hub has everything, that of the old files too."""
    return status["hub"]["connected"] and not status["hub"]["backlog"] and not status["outbox"]["old_streams"]


def held_outbox_gaps(line: LineStack) -> list[Json]:
    """What the hub knows of losses in the outbox."""
    return [gap for gap in held_gaps(line) if gap["source"] == "outbox"]


def held_lane(line: LineStack, stream: str) -> Json:
    """What the hub says of the process lane of a stream."""
    page = line.hub_page("/api/v1/completeness") or {"lanes": []}
    found: Json = next(one for one in page["lanes"] if one["stream"] == stream and one["lane"] == "process")
    return found


def test_nothing_else_was_lost(line: LineStack) -> None:
    """The last one: it stops the daemon, and the checker judges every value of the plant."""
    finish(line)
