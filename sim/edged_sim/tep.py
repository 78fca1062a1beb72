"""The Tennessee Eastman recordings (Downs and Vogel 1993) as one recording: normal operation, then each fault."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from edged.types import Value, ValueType
from edged_sim.recording import Column, RecordingFault, Row

SAMPLE_MILLISECONDS = 180_000
"""Three minutes."""
START_MILLISECONDS = 946_684_800_000
"""2000-01-01; the recordings carry no times of their own."""
TRANSPOSED = "d00"
COLUMNS = 52

_MEASURED = """A feed (kscmh)|D feed (kg/h)|E feed (kg/h)|A and C feed (kscmh)|recycle flow (kscmh)|reactor feed (kscmh)
reactor pressure (kPa)|reactor level (%)|reactor temperature (degC)|purge rate (kscmh)|separator temperature (degC)
separator level (%)|separator pressure (kPa)|separator underflow (m3/h)|stripper level (%)|stripper pressure (kPa)
stripper underflow (m3/h)|stripper temperature (degC)|stripper steam flow (kg/h)|compressor work (kW)
reactor cooling water outlet (degC)|condenser cooling water outlet (degC)|reactor feed A (mol%)|reactor feed B (mol%)
reactor feed C (mol%)|reactor feed D (mol%)|reactor feed E (mol%)|reactor feed F (mol%)|purge A (mol%)|purge B (mol%)
purge C (mol%)|purge D (mol%)|purge E (mol%)|purge F (mol%)|purge G (mol%)|purge H (mol%)|product D (mol%)
product E (mol%)|product F (mol%)|product G (mol%)|product H (mol%)"""
_MANIPULATED = """D feed valve (%)|E feed valve (%)|A feed valve (%)|A and C feed valve (%)|compressor recycle valve (%)
purge valve (%)|separator liquid valve (%)|stripper liquid valve (%)|stripper steam valve (%)
reactor cooling water valve (%)|condenser cooling water valve (%)"""
_UNITS = {"kg/h", "kPa", "%", "degC", "m3/h", "kW"}


class TepRecording:
    """All files of the folder in the order d00, d00_te, d01, d01_te...; the file's name is a column too."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("d??.dat.gz")) + sorted(folder.glob("d??_te.dat.gz"))
        self._files.sort(key=lambda path: path.name.replace("_te", "z"))
        if not self._files:
            raise RecordingFault(f"{folder}: holds no d00.dat.gz; EDGED_DATA must name the folder above tep")
        self.title = f"Tennessee Eastman, {len(self._files)} files"
        self.columns: Sequence[Column] = [
            *_columns("xmeas", _MEASURED),
            *_columns("xmv", _MANIPULATED),
            Column("file", "file of the recording", type=ValueType.STRING),
        ]

    def rows(self) -> Iterator[Row]:
        """One file after the other, three minutes a row."""
        number = 0
        for path in self._files:
            name = path.name.partition(".")[0]
            for values in _read(path):
                row: list[Value | None] = [*values, name]
                yield Row(START_MILLISECONDS + number * SAMPLE_MILLISECONDS, row)
                number += 1


def _columns(prefix: str, titles: str) -> list[Column]:
    columns = []
    for number, title in enumerate(titles.replace("\n", "|").split("|"), start=1):
        unit = title.rpartition("(")[2].rstrip(")")
        unit = "%" if unit == "mol%" else unit
        columns.append(
            Column(f"{prefix}_{number}", f"{prefix.upper()}({number}) {title}", unit if unit in _UNITS else "1")
        )
    return columns


def _read(path: Path) -> list[list[float]]:
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = [[float(text) for text in line.split()] for line in file if line.strip()]
    except (OSError, EOFError, ValueError) as error:
        raise RecordingFault(f"{path}: cannot be read: {error}") from error
    if path.name.partition(".")[0] == TRANSPOSED:
        table = [list(row) for row in zip(*table, strict=True)]
    for number, row in enumerate(table, start=1):
        if len(row) != COLUMNS:
            raise RecordingFault(f"{path}:{number}: has {len(row)} columns, expected {COLUMNS}")
    return table
