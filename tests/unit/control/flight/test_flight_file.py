"""The file of a flight recorder: capped, never in the way of control, and honest about what it lacks."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edged.clock import VirtualClock
from edged.errors import EdgedError
from edged.settings import FlightSettings
from edged.types import NANOSECONDS_PER_SECOND
from edged_control.flight.boundary import Flight
from edged_control.flight.file import ASIDE_SUFFIX, MOST_WAITING, STORE_SECONDS, FlightFile, flight_path
from edged_control.flight.reader import FlightReader, FlightTooNew, NoFlight
from edged_control.flight.recorder import KEY_FRAME_SECONDS, FlightRecorder, Parcel
from edged_control.flight.schema import FORMAT, DamagedFlight, compressed, expanded
from edged_control.flight.state import KeyFrame
from edged_control.replay.run import Replayed, replay_file
from tests.unit.control.recorded_rig import blueprint
from tests.unit.control.rig import MakeRig, Rig

MINUTE = 60 * NANOSECONDS_PER_SECOND
SMALLEST = FlightSettings(cap_bytes=1_000_000)


class Box:
    """A rig whose flights go to a file, as on a box."""

    def __init__(self, make_rig: MakeRig, folder: Path, settings: FlightSettings = SMALLEST) -> None:
        self.path = flight_path(folder, "line_a")
        self.files: list[FlightFile] = []
        self.rig: Rig = make_rig()
        self.plan = blueprint(self.rig)
        self.settings = settings
        self.rig.flight = self.begin
        self.rig.restart()

    def begin(self, clock: VirtualClock) -> Flight:
        self.files.append(FlightFile(self.path, self.settings, self.plan, clock))
        return FlightRecorder(self.files[-1], clock)

    def run(self, seconds: int, *, every: int = 10) -> None:
        """So many cycles; stored once in a while."""
        for second in range(seconds):
            if second % 30 == 0:
                self.rig.plc.product *= 1.05 if second % 60 else 1 / 1.05
            self.rig.step()
            if second % every == 0:
                self.files[-1].store()
        self.files[-1].store()

    def replay(self, since: int = 0, until: int = 1 << 62) -> Replayed:
        with closing(FlightReader(self.path)) as reader:
            return replay_file(reader, since, until, None, solve=False)

    def sql(self, statement: str, *values: Any) -> Any:
        """What a damaged disk would do to the file, or what is in it."""
        with closing(sqlite3.connect(self.path)) as file, file:
            return file.execute(statement, values).fetchall()


@pytest.fixture
def box(make_rig: MakeRig, tmp_path: Path) -> Box:
    return Box(make_rig, tmp_path)


async def test_what_waits_is_stored_once_a_second_and_at_the_end(box: Box) -> None:
    clock = VirtualClock()
    file = FlightFile(box.path, SMALLEST, box.plan, clock)
    file.put(Parcel(is_key_frame=False, serial=0, wall=clock.now(), body=b"\x01"))
    file.store()
    assert box.sql("SELECT count(*) FROM part") == [(1,)]
    file.put(Parcel(is_key_frame=False, serial=1, wall=clock.now(), body=b"\x02"))
    await file.close()
    assert box.sql("SELECT count(*) FROM part") == [(2,)]
    assert STORE_SECONDS == 1.0
    assert box.path.stat().st_mode & 0o077 == 0


def test_a_file_replays_each_session(box: Box) -> None:
    box.run(20)
    box.rig.restart()
    box.run(20)
    found = box.replay()
    assert (found.report.cycles, found.report.differences, found.report.missing) == (40, [], [])
    assert found.report.decisions > 0


def test_the_last_minute_of_a_long_session_begins_at_a_key_frame(box: Box) -> None:
    box.run(900)
    with closing(FlightReader(box.path)) as reader:
        until = reader.until
        items = list(reader.items(reader.sessions[0], until - MINUTE, until))
    assert isinstance(items[0], KeyFrame)
    assert 60 <= len(items) < 60 + KEY_FRAME_SECONDS + 10
    found = box.replay(until - MINUTE, until)
    assert 60 <= found.report.cycles <= 62
    assert (found.report.differences, found.report.before) == ([], 0)


def test_a_cap_takes_the_oldest_and_the_rest_still_replays(make_rig: MakeRig, tmp_path: Path) -> None:
    box = Box(make_rig, tmp_path, FlightSettings(cap_age_seconds=450.0))
    box.run(1000)
    now = box.rig.clock.now()
    ((oldest,),) = box.sql("SELECT min(until) FROM part")
    assert now - oldest <= 460 * NANOSECONDS_PER_SECOND
    found = box.replay(now - 100 * NANOSECONDS_PER_SECOND, now)
    assert found.report.differences == []
    assert found.report.cycles >= 100


def test_what_no_key_frame_leads_to_is_missing(box: Box) -> None:
    box.run(700)
    box.sql("DELETE FROM part WHERE number = 1")
    found = box.replay()
    ((first,),) = box.sql("SELECT min(since) FROM part WHERE key_frame")
    assert found.report.missing == [first]
    assert 300 < found.report.cycles < 500
    assert found.report.differences == []


def test_a_clock_that_is_set_back_loses_nothing(box: Box) -> None:
    box.run(20, every=2)
    box.rig.clock.jump(-3600.0)
    box.run(20, every=2)
    found = box.replay()
    assert (found.report.cycles, found.report.missing, found.report.differences) == (40, [], [])


def test_a_cap_of_bytes_holds(box: Box) -> None:
    clock = box.rig.clock
    for serial in range(40):
        body = bytes(range(256)) * 200 + serial.to_bytes(4, "little") * 20_000
        box.files[-1].put(Parcel(is_key_frame=True, serial=serial, wall=clock.now(), body=body))
    box.files[-1].store()
    box.files[-1]._settings = FlightSettings(cap_bytes=1_000_000)
    ((kept,),) = box.sql("SELECT sum(length(body)) FROM part")
    assert 0 < kept <= 1_000_000


def test_a_disk_that_refuses_costs_records_that_replay_misses(box: Box) -> None:
    box.run(10)
    file = box.files[-1]
    assert file._connection is not None
    pages = file._connection.execute("PRAGMA page_count").fetchone()[0]
    file._connection.execute(f"PRAGMA max_page_count = {pages}")
    while not file.fault:
        box.rig.step()
        file.store()
    assert "full" in file.fault
    assert file.lost > 0
    box.run(30)
    assert file.fault == ""
    box.rig.control.close()
    file.store()
    found = box.replay()
    assert len(found.report.missing) == 1
    assert found.report.differences == []
    assert found.report.cycles >= 10 + 29


def test_a_recorder_that_is_not_stored_gives_up_and_says_so(box: Box) -> None:
    file = box.files[-1]
    for serial in range(MOST_WAITING + 5):
        file.put(Parcel(is_key_frame=False, serial=serial, wall=0, body=b""))
    assert file.lost >= 5
    assert file.wants_key_frame


def test_a_folder_that_is_not_there_costs_records_and_nothing_else(make_rig: MakeRig, tmp_path: Path) -> None:
    box = Box(make_rig, tmp_path / "gone")
    box.run(5)
    assert box.files[-1].lost > 0
    (tmp_path / "gone").mkdir()
    box.run(20)
    found = box.replay()
    assert found.report.differences == []
    assert found.report.cycles > 0


def test_a_damaged_file_is_set_aside_by_the_recorder(box: Box) -> None:
    box.path.write_bytes(b"no database at all, but long enough to be one" * 100)
    box.run(20)
    assert Path(f"{box.path}{ASIDE_SUFFIX}").exists()
    assert box.replay().report.cycles == 20


def cut(box: Box) -> None:
    box.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    box.path.write_bytes(box.path.read_bytes()[: box.path.stat().st_size // 2])


def scribble(box: Box) -> None:
    box.sql("UPDATE part SET body = zeroblob(length(body)) WHERE number = 2")


def lie(box: Box) -> None:
    box.sql("UPDATE part SET body = zeroblob(4), checksum = 558161692 WHERE number = 2")


def empty(box: Box) -> None:
    box.sql("DELETE FROM session")


def forget_the_start(box: Box) -> None:
    box.sql("DELETE FROM part WHERE number = 1")


def come_from_the_future(box: Box) -> None:
    box.sql(f"PRAGMA user_version = {FORMAT + 1}")


def be_something_else(box: Box) -> None:
    box.sql("PRAGMA application_id = 7")


def vanish(box: Box) -> None:
    box.path.unlink()


@pytest.mark.parametrize(
    ("harm", "fault", "told"),
    [
        (cut, DamagedFlight, "malformed"),
        (scribble, DamagedFlight, "the checksum is wrong"),
        (lie, DamagedFlight, "while decompressing"),
        (empty, NoFlight, "no records yet"),
        (forget_the_start, NoFlight, "no key-frame was kept"),
        (come_from_the_future, FlightTooNew, f"has format {FORMAT + 1}"),
        (be_something_else, DamagedFlight, "is no flight file"),
        (vanish, NoFlight, "does not exist"),
    ],
)
def test_a_file_that_can_not_be_used_is_named(
    box: Box, harm: Callable[[Box], None], fault: type[EdgedError], told: str
) -> None:
    box.run(60)
    box.files[-1]._connection.close()  # type: ignore[union-attr]
    box.files[-1]._connection = None
    harm(box)
    with pytest.raises(fault, match=told) as caught:
        box.replay()
    assert str(box.path) in str(caught.value) or fault is NoFlight


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_file_says_there_is_an_answer(box: Box, seed: int) -> None:
    """A file may come from anywhere: bytes that are wrong, with checksums that are right."""
    box.run(5)
    box.files[-1].wants_key_frame = True
    box.run(5)
    random, ((dictionary,),) = Random(seed), box.sql("SELECT dictionary FROM session")
    rows = box.sql("SELECT number, checksum, body FROM part")
    for _ in range(30):
        number, checksum, stored = random.choice(rows)
        body = bytearray(expanded(stored, dictionary, checksum, ""))
        body[random.randrange(len(body))] = random.randrange(256)
        lie = compressed(bytes(body), dictionary)
        box.sql("UPDATE part SET body = ?, checksum = ? WHERE number = ?", lie, zlib.crc32(lie), number)
        with suppress(EdgedError):
            assert box.replay().line == "line_a"
        box.sql("UPDATE part SET body = ?, checksum = ? WHERE number = ?", stored, checksum, number)
    assert box.replay().report.differences == []


def test_a_range_without_records_names_what_there_is(box: Box) -> None:
    box.run(10)
    with pytest.raises(NoFlight, match=r"nothing was recorded in 1970-.*the newest recordings: 2026-"):
        box.replay(0, 1)


def test_an_incident_is_a_file_of_its_own(box: Box, tmp_path: Path) -> None:
    box.run(700)
    incident = tmp_path / "incident.db"
    with closing(FlightReader(box.path)) as reader:
        reader.export(incident, reader.until - MINUTE, reader.until)
        with pytest.raises(EdgedError, match="exists already"):
            reader.export(incident, reader.until - MINUTE, reader.until)
        with pytest.raises(EdgedError, match="can't be written"):
            reader.export(tmp_path / "nowhere" / "incident.db", reader.until - MINUTE, reader.until)
    with closing(FlightReader(incident)) as reader:
        assert reader.incident is not None
        since, until = reader.incident
        found = replay_file(reader, since, until, None, solve=False)
    assert found.report.differences == []
    assert 60 <= found.report.cycles <= 62
