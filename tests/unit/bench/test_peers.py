"""How gateways are judged beside each other, and how each one's messages are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bench.contestant import MANIFESTS, PeerMissing, Value, install
from bench.peer_course import Cost, Outcome
from bench.peer_edged import Edged
from bench.peer_floor import Floor
from bench.peer_judgement import Disturbance, Judgement, judge
from bench.peer_nodered import NodeRed
from bench.peer_source import read_journal
from bench.peer_thingsboard import ThingsBoardGateway
from bench.peers import bars, figures, rows
from edged_connectors.north.sparkplug_pb2 import Payload

OFFERED = {number: number * 1000 for number in range(1, 21)}
"""One number per second."""
SOURCE_AWAY = Disturbance(returned_at=12_000, away=(8_000, 12_000))


def received(numbers: Sequence[int], *, delay: float = 100.0) -> list[Value]:
    """One counter's values, each so long after it was offered."""
    return [Value(0, number, OFFERED[number] + delay) for number in numbers]


def test_what_came_once_is_held() -> None:
    found = judge(OFFERED, 1, received(range(1, 21)))
    assert (found.offered, found.held, found.lost, found.blind, found.duplicated) == (20, 20, 0, 0, 0)
    assert found.first_data_seconds is None
    assert found.p50_milliseconds == found.p99_milliseconds == 100.0


def test_every_counter_is_judged_by_itself() -> None:
    found = judge(OFFERED, 2, received(range(1, 21)))
    assert (found.offered, found.held, found.lost) == (40, 20, 20)


def test_values_outside_the_window_are_not_judged() -> None:
    found = judge({5: 5000}, 1, received([4, 4, 5, 6]))
    assert (found.offered, found.held, found.duplicated) == (1, 1, 0)


def test_each_repetition_is_a_duplicate() -> None:
    assert judge(OFFERED, 1, received([*range(1, 21), 3, 3])).duplicated == 2


@pytest.mark.parametrize(
    ("missing", "lost", "blind"),
    [
        ([2], 1, 0),
        ([7, 8, 9, 10, 11], 0, 5),
        ([6, 7, 8], 1, 2),
        ([8, 12, 13], 0, 3),
        ([8, 12, 14], 1, 2),
        (range(7, 21), 0, 14),
        (range(5, 21), 2, 14),
    ],
    ids=[
        "before it broke",
        "from the last second before to the return",
        "earlier than a second before",
        "until the first value after the return",
        "after the first value",
        "never read again",
        "never read again, and what was read is gone",
    ],
)
def test_blind_is_what_nobody_read(missing: Sequence[int], lost: int, blind: int) -> None:
    found = judge(OFFERED, 1, received([number for number in OFFERED if number not in missing]), SOURCE_AWAY)
    assert (found.lost, found.blind) == (lost, blind)


def test_without_a_reader_away_everything_missing_is_lost() -> None:
    found = judge(OFFERED, 1, received([*range(1, 8), *range(13, 21)]), Disturbance(returned_at=12_000))
    assert (found.lost, found.blind) == (5, 0)


@pytest.mark.parametrize(
    ("disturbance", "values", "seconds"),
    [
        (SOURCE_AWAY, received([7, 14]), 2.1),
        (SOURCE_AWAY, received([7], delay=6000.0), float("inf")),
        (Disturbance(returned_at=12_000), received([7], delay=6000.0), 1.0),
        (SOURCE_AWAY, received([7]), float("inf")),
    ],
    ids=["fresh", "old data is no data of a source that was away", "a backlog is data of a broker's return", "never"],
)
def test_first_data_counts_from_the_return(disturbance: Disturbance, values: Sequence[Value], seconds: float) -> None:
    assert judge(OFFERED, 1, values, disturbance).first_data_seconds == pytest.approx(seconds)


def test_a_journal_cut_off_by_a_kill_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    journal = tmp_path / "source.journal"
    assert read_journal(journal) == {}
    journal.write_text("1 1000\n2 1100\n3 12", encoding="ascii")
    assert read_journal(journal) == {1: 1000, 2: 1100}


def test_sparkplug_data_is_named_by_its_birth_and_births_are_no_data() -> None:
    birth, data = Payload(), Payload()
    birth.metrics.add(name="c7", alias=4, double_value=1.0)
    birth.metrics.add(name="Node Control/Rebirth", boolean_value=False)
    data.metrics.add(alias=4, double_value=2.0)
    data.metrics.add(alias=4, is_null=True)
    data.metrics.add(alias=5, double_value=9.0)
    edged = Edged()
    assert edged.decode("spBv1.0/bench/DDATA/line_a/counters", data.SerializeToString()) == []
    assert edged.decode("spBv1.0/bench/DBIRTH/line_a/counters", birth.SerializeToString()) == ()
    assert edged.decode("spBv1.0/bench/DDATA/line_a/counters", data.SerializeToString()) == [(7, 2)]
    assert edged.decode("spBv1.0/bench/NCMD/line_a", data.SerializeToString()) == ()


@pytest.mark.parametrize("entry", [{"ts": 1, "values": {"c3": 5.0, "other": 1}}, {"c3": 5.0}])
def test_thingsboard_telemetry_with_and_without_a_time(entry: Mapping[str, object]) -> None:
    gateway = ThingsBoardGateway()
    assert gateway.decode("v1/gateway/telemetry", json.dumps({"Counters": [entry]}).encode()) == [(3, 5)]
    assert gateway.decode("v1/gateway/connect", b'{"device": "Counters"}') == ()


def test_messages_of_node_red_and_the_floor_script() -> None:
    assert NodeRed().decode("node-red/c12", b'{"value": 8, "time": "2030-01-01T00:00:00.000Z"}') == [(12, 8)]
    assert NodeRed().decode("other", b"?") == ()
    assert Floor().decode("floor/data", b'[["c1", 1.5, 4.0], ["c2", 1.5, 4.0]]') == [(1, 4), (2, 4)]
    assert Floor().decode("other", b"?") == ()


def test_a_step_of_an_installation_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(PeerMissing, match="no such registry"):
        install("peer", ["sh", "-c", "echo no such registry; exit 1"], tmp_path)
    with pytest.raises(PeerMissing, match="not-a-program"):
        install("peer", ["not-a-program"], tmp_path)


def outcome(*, lost: int = 0, microseconds: float = 10.0, first: float | None = None) -> Outcome:
    judgement = Judgement(100, 100 - lost, lost, 0, 0, first, [1.0])
    return Outcome({"edged": judgement}, Cost(1_000_000, microseconds, 100.0, 50_000_000) if first is None else None)


def test_bars_hold_edged_to_its_promises_alone() -> None:
    kept = bars({"steady": {"edged": outcome(), "node-red": outcome(microseconds=20), "thingsboard": outcome(lost=9)}})
    assert {bar.name: bar.ok for bar in kept} == {
        "steady: edged: lost": True,
        "steady: edged: duplicated": True,
        "CPU per value, edged / node-red": True,
        "CPU per value, edged / thingsboard": False,
    }
    broken = bars({"broker-away": {"edged": outcome(lost=1, first=5.5)}})
    assert [bar.ok for bar in broken] == [False, True, False]
    assert bars({"steady": {"floor": outcome()}}) == []


def test_never_is_a_word_in_the_table_and_null_in_the_figures() -> None:
    never = {"edged": outcome(first=float("inf"))}
    assert rows(never)[0][-1] == "never"
    text = json.dumps(figures({"server-stalled": never}))
    assert json.loads(text)["server-stalled: edged"]["first_data_seconds"] is None
    assert "Infinity" not in text


def test_the_manifests_pin_every_package() -> None:
    lines = (MANIFESTS / "thingsboard" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines)
    assert {"asyncua==1.1.5", "pymodbus==3.9.2", "thingsboard-gateway==3.8.5"} <= set(lines)
    lock = json.loads((MANIFESTS / "node-red" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {path: one for path, one in lock["packages"].items() if path}
    assert not [path for path, one in packages.items() if "resolved" in one]
    assert not [path for path, one in packages.items() if "integrity" not in one and not one.get("inBundle")]
