"""The unit symbols that configurations may use: one spelling each, so that equal units are equal strings."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple


class Unit(NamedTuple):
    """One symbol and the quantity it measures."""

    symbol: str
    quantity: str


_SYMBOLS_BY_QUANTITY: dict[str, str] = {
    "dimensionless": "1 % ppm ppb pH count",
    "temperature": "degC K degF",
    "temperature rate": "degC/s degC/min degC/h K/s K/min K/h",
    "pressure": "Pa hPa kPa MPa bar mbar psi",
    "pressure rate": "Pa/s kPa/s kPa/min MPa/s MPa/min bar/s bar/min",
    "length": "nm um mm cm m km in ft",
    "area": "mm2 cm2 m2",
    "volume": "mL L m3 Nm3",
    "speed": "mm/s m/s m/min m/h km/h",
    "acceleration": "m/s2 gn",
    "speed rate": "m/min/s m/min/min",
    "rotation": "rpm rad/s",
    "angle": "deg rad",
    "mass": "mg g kg t",
    "mass flow": "g/s kg/s kg/min kg/h t/h t/d",
    "volume flow": "mL/min L/s L/min L/h m3/s m3/min m3/h Nm3/h",
    "density": "kg/m3 g/cm3 g/L",
    "concentration": "mg/L mg/m3 mol/L",
    "force": "N kN",
    "torque": "N.m kN.m",
    "stress intensity": "MPa.m0.5",
    "energy": "J kJ MJ GJ Wh kWh MWh",
    "power": "W kW MW",
    "heat flux": "W/m2 kW/m2",
    "energy per mass": "kJ/kg kWh/t",
    "dynamic viscosity": "Pa.s mPa.s",
    "kinematic viscosity": "mm2/s m2/s",
    "electric current": "uA mA A kA",
    "voltage": "uV mV V kV",
    "resistance": "ohm kohm Mohm",
    "conductivity": "uS/cm mS/cm S/m",
    "apparent power": "VA kVA MVA",
    "reactive power": "var kvar Mvar",
    "magnetic flux density": "mT T",
    "frequency": "Hz kHz MHz",
    "event rate": "1/s 1/min 1/h units/min units/h",
    "time": "ns us ms s min h d",
    "luminous": "lx cd lm",
    "sound level": "dB dBA",
    "relative humidity": "%RH",
    "data": "B kB MB GB",
}

UNITS: dict[str, Unit] = {
    symbol: Unit(symbol, quantity) for quantity, symbols in _SYMBOLS_BY_QUANTITY.items() for symbol in symbols.split()
}
"""Every known unit by its symbol."""

_OTHER_SPELLINGS: dict[str, str] = {
    "": "1",
    "-": "1",
    "none": "1",
    "unitless": "1",
    "percent": "%",
    "pct": "%",
    "c": "degC",
    "°c": "degC",
    "celsius": "degC",
    "deg c": "degC",
    "deg_c": "degC",
    "°f": "degF",
    "f": "degF",
    "fahrenheit": "degF",
    "kelvin": "K",
    "c/min": "degC/min",
    "°c/min": "degC/min",
    "°c/h": "degC/h",
    "c/h": "degC/h",
    "mpm": "m/min",
    "m3/hr": "m3/h",
    "m³/h": "m3/h",
    "m^3/h": "m3/h",
    "cbm/h": "m3/h",
    "nm³/h": "Nm3/h",
    "kg/hr": "kg/h",
    "tph": "t/h",
    "r/min": "rpm",
    "1/minute": "1/min",
    "amp": "A",
    "amps": "A",
    "ampere": "A",
    "volt": "V",
    "volts": "V",
    "watt": "W",
    "hertz": "Hz",
    "sec": "s",
    "seconds": "s",
    "second": "s",
    "minutes": "min",
    "minute": "min",
    "hour": "h",
    "hours": "h",
    "hr": "h",
    "days": "d",
    "day": "d",
    "pa*s": "Pa.s",
    "pa·s": "Pa.s",
    "cp": "mPa.s",
    "n*m": "N.m",
    "n·m": "N.m",
    "µm": "um",
    "μm": "um",
    "micron": "um",
    "millimeter": "mm",
    "millimetre": "mm",
    "litre": "L",
    "liter": "L",
    "l/min": "L/min",
    "ω": "ohm",
}


def known(symbol: str) -> bool:
    """True when configurations may use the symbol."""
    return symbol in UNITS


def suggest(symbol: str) -> str | None:
    """The known symbol that was probably meant, or None."""
    lower = symbol.strip().lower()
    if lower in _OTHER_SPELLINGS:
        return _OTHER_SPELLINGS[lower]
    for candidate in UNITS:
        if candidate.lower() == lower:
            return candidate
    close = get_close_matches(symbol, UNITS, n=1, cutoff=0.6)
    return close[0] if close else None


def same_quantity(first: str, second: str) -> bool:
    """True when both symbols are known and measure the same thing, so that only a conversion is missing."""
    return known(first) and known(second) and UNITS[first].quantity == UNITS[second].quantity
