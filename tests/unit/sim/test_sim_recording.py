"""Recordings: what a CSV may look like, and how a wrong one is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from edged.types import ValueType
from edged_sim.recording import CsvRecording, RecordingFault, Row
from edged_sim.replay import configuration
from edged_sim.tags import Face, Tag
from edged_sim.tep import TepRecording

MIDNIGHT = 1_704_067_200_000
"""2024-01-01."""


def recording(tmp_path: Path, text: str, time_column: str | None = None) -> CsvRecording:
    path = tmp_path / "plant.csv"
    path.write_text(text, encoding="utf-8")
    return CsvRecording(path, time_column)


def test_columns_become_signals_with_units(tmp_path: Path) -> None:
    played = recording(
        tmp_path,
        "Timestamp,Reactor Temp [degC],Flow (kg/hr),Flow (kg/hr),State,Wert\n"
        "2024-01-01,1,2,3,on,\n2024-01-02,1,2,3,off,5\n",
    )
    assert [(column.name, column.unit, column.type) for column in played.columns] == [
        ("reactor_temp", "degC", ValueType.FLOAT),
        ("flow", "kg/h", ValueType.FLOAT),
        ("flow_2", "kg/h", ValueType.FLOAT),
        ("state", "1", ValueType.STRING),
        ("wert", "1", ValueType.FLOAT),
    ]
    assert next(iter(played.rows())) == Row(MIDNIGHT, [1.0, 2.0, 3.0, "on", None])


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-01T00:00:01.500Z",
        "2024-01-01 00:00:01.5",
        "2024-01-01T01:00:01.500+01:00",
        "1704067201.5",
        "1704067201500",
        "1704067201500000",
        "1704067201500000000",
    ],
)
def test_times_are_understood(tmp_path: Path, written: str) -> None:
    assert [row.milliseconds for row in recording(tmp_path, f"time,a\n{written},1\n").rows()] == [MIDNIGHT + 1500]


def test_semicolons_decimal_commas_and_byte_order_marks(tmp_path: Path) -> None:
    played = recording(tmp_path, "\ufeffZeit;Druck [bar]\n2024-01-01;1,25\n2024-01-01;-3\n")
    assert [row.values for row in played.rows()] == [[1.25], [-3.0]]
    assert played.columns[0].unit == "bar"


def test_what_is_no_number_is_no_value(tmp_path: Path) -> None:
    played = recording(tmp_path, "t,a\n1,1\n2,Comm Fail\n3,NaN\n4,inf\n5,\n6,2\n")
    assert [row.values[0] for row in played.rows()] == [1.0, None, None, None, None, 2.0]


def test_gzip_and_a_named_time_column(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv.gz"
    path.write_bytes(gzip.compress(b"a,when it was\n1,1704067200\n"))
    assert list(CsvRecording(path, "When it was").rows()) == [Row(MIDNIGHT, [1.0])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: is empty"),
        ("a,b\n1,2\n", ":1: no time column found among 'a', 'b'; name it with --time-column"),
        ("time,a\n", ":2: holds no rows"),
        ("time,a\n2024-01-01,1\n2024-01-02\n", ":3: has 1 columns, the header has 2"),
        ("time,a\n2024-01-01,1\nyesterday,1\n", ":3: time: expected ISO 8601"),
    ],
)
def test_a_recording_that_cannot_be_read_names_the_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RecordingFault) as caught:
        list(recording(tmp_path, text).rows())
    assert f"plant.csv{expected}" in str(caught.value)


def test_a_missing_file_and_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(RecordingFault, match="No such file"):
        CsvRecording(tmp_path / "nothing.csv")
    with pytest.raises(RecordingFault, match="no column 'when'"):
        recording(tmp_path, "time,a\n1,2\n", "when")


def test_a_damaged_gzip_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv.gz"
    whole = gzip.compress(b"time,a\n" + b"1704067200,1.2345\n" * 100_000)
    path.write_bytes(whole[: len(whole) // 2])
    played = CsvRecording(path)
    with pytest.raises(RecordingFault, match="gzip file is damaged"):
        list(played.rows())


def test_the_configuration_fits_the_pace() -> None:
    tags = [Tag("recording/a", Face.OPCUA, "degC", description='the "first"', line="replay")]
    text = configuration(tags, 4841, 50.0)
    assert "sampling_milliseconds: 25" in text
    assert '{"name":"recording/a","address":{"node":"nsu=urn:edged:sim:replay;s=recording.a"},"unit":"degC"' in text


def test_tennessee_eastman(recorded_data: Path) -> None:
    played = TepRecording(recorded_data / "tep")
    assert len(played.columns) == 53
    assert (played.columns[8].name, played.columns[8].unit) == ("xmeas_9", "degC")
    rows = played.rows()
    first = next(rows)
    assert first.values[8] == pytest.approx(120.4, abs=0.2)
    assert first.values[-1] == "d00"
    following = [next(rows) for _ in range(500)]
    assert following[0].milliseconds - first.milliseconds == 180_000
    assert [row.values[-1] for row in following[-2:]] == ["d00", "d00_te"]
    assert following[-1].values[8] == pytest.approx(120.4, abs=0.2)


def test_an_empty_tep_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingFault, match="EDGED_DATA"):
        TepRecording(tmp_path)
