"""Unit symbols: one spelling each, and a hint for every usual other one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.units import UNITS, known, same_quantity, suggest


def test_symbols_that_the_example_line_uses_are_known() -> None:
    for symbol in ("degC", "degC/min", "kPa", "MPa", "mm", "m/min", "m3/h", "kg/s", "%", "kW", "Pa.s", "rpm", "A"):
        assert known(symbol)


def test_other_spellings_are_not_known() -> None:
    for symbol in ("C", "degc", "kpa", "mpa", "", "m3/hr"):
        assert not known(symbol)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("C", "degC"),
        ("°C", "degC"),
        ("Celsius", "degC"),
        ("degc", "degC"),
        ("kpa", "kPa"),
        ("m3/hr", "m3/h"),
        ("m³/h", "m3/h"),
        ("RPM", "rpm"),
        ("percent", "%"),
        ("", "1"),
        (" mm ", "mm"),
        ("degC/mim", "degC/min"),
        ("Pa·s", "Pa.s"),
        ("furlong", None),
    ],
)
def test_suggestions(wrong: str, right: str | None) -> None:
    assert suggest(wrong) == right


def test_every_suggestion_is_known() -> None:
    letters = [suggest(chr(code)) for code in range(33, 0x3C0)]
    assert all(symbol is None or known(symbol) for symbol in letters)


def test_quantities() -> None:
    assert same_quantity("degC", "K")
    assert same_quantity("kPa", "bar")
    assert not same_quantity("kPa", "degC")
    assert not same_quantity("kPa", "furlong")
    assert UNITS["m/min"].quantity == "speed"


def test_glossary_lists_every_unit(project: Path) -> None:
    glossary = (project / "docs/glossary.md").read_text(encoding="utf-8")
    rows = {
        quantity: [symbol for symbol in UNITS if UNITS[symbol].quantity == quantity]
        for quantity in dict.fromkeys(unit.quantity for unit in UNITS.values())
    }
    for quantity, symbols in rows.items():
        assert f"| {quantity} | {' '.join(f'`{symbol}`' for symbol in symbols)} |" in glossary
