"""Tag lists: signals of one source as CSV, one line each, as engineering tools export them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edged.faults import Faults, Where, did_you_mean
from edged.settings import SignalSettings

ADDRESS_PREFIX = "address."
"""Columns such as `address.node` fill the address of the signal."""

COLUMNS = tuple(name for name in SignalSettings.model_fields if name != "address")
"""The other columns. Empty cells take the default."""


@dataclass(frozen=True, slots=True)
class TagRow:
    """One signal as a configuration file would have said it, and the line it stands on."""

    file: str
    number: int
    signal: dict[str, object]

    def line(self, where: Where) -> int:
        """The same line for every place in the row."""
        del where
        return self.number


def read_tag_list(path: Path, faults: Faults) -> list[TagRow]:
    """Reads a tag list. Columns: name, unit, type, low, high, deadband, writable, description, address.<key>."""
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.add_at(file, 1, "", f"cannot be read: {error.strerror}")
        return []
    except ValueError as error:
        faults.add_at(file, 1, "", f"is not UTF-8 text: {error}")
        return []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        return list(_rows(file, header, reader, faults)) if _sound(file, header, faults) else []
    except csv.Error as error:
        faults.add_at(file, reader.line_num, "", f"is not CSV: {error}")
        return []


def _sound(file: str, header: list[str], faults: Faults) -> bool:
    before = len(faults)
    if "name" not in header:
        hint = "; separate the columns by commas" if any(";" in cell or "\t" in cell for cell in header) else ""
        faults.add_at(file, 1, "", f"the first line names the columns and needs a column name{hint}")
        return False
    for position, column in enumerate(header):
        if column in header[:position]:
            faults.add_at(file, 1, column, "duplicate column")
        elif column not in COLUMNS and column.removeprefix(ADDRESS_PREFIX) in {column, ""}:
            known = [*COLUMNS, ADDRESS_PREFIX + "<key>"]
            faults.add_at(file, 1, column, f"unknown column{did_you_mean(column, known)}")
    return len(faults) == before


def _rows(file: str, header: list[str], reader: Iterator[list[str]], faults: Faults) -> Iterator[TagRow]:
    number = 1
    for cells in reader:
        number += 1
        first = number
        number += sum(cell.count("\n") for cell in cells)
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        if len(cells) > len(header):
            faults.add_at(file, first, "", f"expected {len(header)} cells as in the first line, got {len(cells)}")
            continue
        yield TagRow(file, first, _signal(dict(zip(header, cells, strict=False))))


def _signal(row: dict[str, str]) -> dict[str, object]:
    signal: dict[str, object] = {}
    address: dict[str, object] = {}
    for column, cell in row.items():
        if not cell.strip():
            continue
        if column.startswith(ADDRESS_PREFIX):
            address[column.removeprefix(ADDRESS_PREFIX)] = cell.strip()
        else:
            signal[column] = cell.strip()
    return {**signal, "address": address}
