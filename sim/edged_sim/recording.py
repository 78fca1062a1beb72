"""Recordings as streams of rows: any CSV with a time column, read line by line however large."""

from __future__ import annotations

import csv
import gzip
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO

from edged import units
from edged.errors import EdgedError
from edged.log import get_logger
from edged.types import Value, ValueType

TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "ts", "time_stamp", "zeit", "utc", "t")
DELIMITERS = ",;\t|"
SNIFFED_ROWS = 500
"""Rows that decide which columns hold numbers."""
MAX_FIELD_CHARACTERS = 1_000_000

EPOCH_MILLISECONDS_FROM = 1e11
EPOCH_MICROSECONDS_FROM = 1e14
EPOCH_NANOSECONDS_FROM = 1e17
MILLISECONDS_PER_SECOND = 1000

_EMPTY = frozenset({"", "nan", "null", "none", "na", "n/a", "-", "?", "#n/a"})
_UNIT = re.compile(r"[\[(](?P<unit>[^\])]*)[\])]\s*$")

log = get_logger("recording")


class RecordingFault(EdgedError):
    """The recording cannot be read as it stands: correct the place named, or choose the column by --time-column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One recorded signal. `name` is fit for a signal path, `title` is what the recording calls it."""

    name: str
    title: str
    unit: str = "1"
    type: ValueType = ValueType.FLOAT


class Row(NamedTuple):
    """One moment: recorded time in ms UTC, values in column order; None where nothing usable was recorded."""

    milliseconds: int
    values: list[Value | None]


class Recording(Protocol):
    """Anything that can be played."""

    @property
    def title(self) -> str:
        """What is played, for people."""
        ...

    @property
    def columns(self) -> Sequence[Column]: ...

    def rows(self) -> Iterator[Row]:
        """The rows from the first, again at each call. Raises RecordingFault at the row that cannot be read."""
        ...


@dataclass(slots=True)
class CsvRecording:
    """A CSV file, also gzipped. Building reads the header and the first rows only."""

    path: Path
    time_column: str | None = None
    columns: Sequence[Column] = field(init=False)
    _time_index: int = field(init=False)
    _delimiter: str = field(init=False)
    _header: list[str] = field(init=False)
    _told: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        csv.field_size_limit(MAX_FIELD_CHARACTERS)
        with _open(self.path) as file:
            first = file.readline()
        if not first.strip():
            raise RecordingFault(f"{self.path}:1: is empty, expected a header line with column names")
        self._delimiter = max(DELIMITERS, key=first.count)
        self._header = [title.strip() for title in next(csv.reader([first], delimiter=self._delimiter))]
        self._time_index = self._find_time()
        self.columns = self._find_columns()

    @property
    def title(self) -> str:
        """The file's name."""
        return self.path.name

    def rows(self) -> Iterator[Row]:
        """Streams the file."""
        indexes = [index for index in range(len(self._header)) if index != self._time_index]
        for line, fields in self._lines():
            yield Row(
                self._time(line, fields[self._time_index]),
                [
                    self._value(line, column, index, fields[index])
                    for column, index in zip(self.columns, indexes, strict=True)
                ],
            )

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        with _open(self.path) as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            try:
                next(reader)
                for fields in reader:
                    if not fields:
                        continue
                    if len(fields) != len(self._header):
                        expected = f"the header has {len(self._header)}"
                        raise RecordingFault(f"{self.path}:{reader.line_num}: has {len(fields)} columns, {expected}")
                    yield reader.line_num, fields
            except (csv.Error, UnicodeDecodeError) as error:
                raise RecordingFault(f"{self.path}:{reader.line_num + 1}: is not CSV text: {error}") from error
            except (EOFError, gzip.BadGzipFile) as error:
                raise RecordingFault(f"{self.path}:{reader.line_num + 1}: the gzip file is damaged: {error}") from error

    def _find_time(self) -> int:
        titles = [title.lower() for title in self._header]
        if self.time_column is not None:
            if self.time_column.lower() not in titles:
                raise RecordingFault(f"{self.path}:1: no column {self.time_column!r}; there are {self._titles()}")
            return titles.index(self.time_column.lower())
        bare = [_name(_UNIT.sub("", title)) for title in titles]
        for name in TIME_NAMES:
            if name in bare:
                return bare.index(name)
        raise RecordingFault(f"{self.path}:1: no time column found among {self._titles()}; name it with --time-column")

    def _titles(self) -> str:
        shown = ", ".join(repr(title) for title in self._header[:8])
        return shown if len(self._header) <= 8 else f"{shown} and {len(self._header) - 8} more"

    def _find_columns(self) -> list[Column]:
        sample = [fields for _, fields in islice(self._lines(), SNIFFED_ROWS)]
        if not sample:
            raise RecordingFault(f"{self.path}:2: holds no rows below the header")
        taken = {"time"}
        columns = []
        for index, title in enumerate(self._header):
            if index == self._time_index:
                continue
            name = _unique(_name(_UNIT.sub("", title)) or f"column_{index + 1}", taken)
            written = [fields[index] for fields in sample if fields[index].strip().lower() not in _EMPTY]
            numeric = sum(self._number(text) is not None for text in written)
            is_text = bool(written) and numeric * 2 < len(written)
            columns.append(Column(name, title, _unit(title), ValueType.STRING if is_text else ValueType.FLOAT))
        return columns

    def _time(self, line: int, text: str) -> int:
        title = self._header[self._time_index]
        number = self._number(text)
        try:
            if number is not None:
                return _epoch_milliseconds(number)
            time = datetime.fromisoformat(text.strip())
            aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
            return round(aware.timestamp() * MILLISECONDS_PER_SECOND)
        except (ValueError, OverflowError) as error:
            raise RecordingFault(
                f"{self.path}:{line}: {title}: expected ISO 8601, epoch seconds or milliseconds, got {text[:60]!r}"
            ) from error

    def _value(self, line: int, column: Column, index: int, text: str) -> Value | None:
        if text.strip().lower() in _EMPTY:
            return None
        if column.type is ValueType.STRING:
            return text.strip()
        number = self._number(text)
        if number is None and index not in self._told:
            self._told.add(index)
            place = f"{self.path}:{line}: {column.title}"
            log.warning("not_a_number", place=place, got=text[:60], played_as="BAD quality, as all like it")
        return number

    def _number(self, text: str) -> float | None:
        """A finite number; with another delimiter than the comma, a decimal comma is understood."""
        plain = text.strip()
        if self._delimiter != "," and plain.count(",") == 1 and "." not in plain:
            plain = plain.replace(",", ".")
        try:
            number = float(plain)
        except ValueError:
            return None
        return number if math.isfinite(number) else None


def _open(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise RecordingFault(f"{path}: cannot be read: {error.strerror or error}") from error


def _epoch_milliseconds(number: float) -> int:
    if number >= EPOCH_NANOSECONDS_FROM:
        return round(number / 1_000_000)
    if number >= EPOCH_MICROSECONDS_FROM:
        return round(number / 1000)
    if number >= EPOCH_MILLISECONDS_FROM:
        return round(number)
    return round(number * MILLISECONDS_PER_SECOND)


def _name(title: str) -> str:
    """A title as the last part of a signal path."""
    return re.sub(r"[^a-z0-9]+", "_", title.strip().lower()).strip("_")


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate


def _unit(title: str) -> str:
    """The unit in brackets at the end of a title, when it is one that configurations know; else 1."""
    found = _UNIT.search(title)
    if found is None:
        return "1"
    symbol = found["unit"].strip()
    return symbol if units.known(symbol) else units.suggest(symbol) or "1"
