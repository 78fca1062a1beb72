"""What a person reads of /status."""

from __future__ import annotations

from edged.table import render, table


def test_plain_values_come_first_then_sections() -> None:
    text = render(
        {
            "outbox": {"depth": 3, "writable": True},
            "line": "line_a",
            "now": 1_767_225_600_000_000_000,
            "samples": 12,
            "hub": None,
            "sources": [{"name": "furnace", "online": True}, {"name": "forming", "fault": "no answer"}],
            "alarms": [],
            "warnings": ["one", "two"],
        }
    )
    assert text == "\n".join(
        [
            "line     line_a",
            "now      2026-01-01 00:00:00+00:00",
            "samples  12",
            "hub      -",
            "",
            "outbox",
            "  depth     3",
            "  writable  yes",
            "",
            "sources",
            "  name     online  fault",
            "  furnace  yes     -",
            "  forming  -       no answer",
            "",
            "warnings",
            "  one",
            "  two",
        ]
    )


def test_cells() -> None:
    rows = [{"a": 0.123456789, "b": {"x": 1, "y": [1, 2]}, "c": "z" * 60, "d": False}]
    assert list(table(rows)) == [
        "  a         b            c                                                 d",
        f"  0.123457  x=1, y=1, 2  {'z' * 45}...  no",
    ]
