"""Every signal of the simulated line: where it is offered, how it is encoded, how its sensor behaves.

The table is the simulator's own; a test compares it with configs/line-a.yaml, the connectors' side of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edged.types import Value, ValueType

LINE = "line_a"
PRODUCTION_LINE = "Line_A"
NAMESPACE = "urn:edged:sim:line_a"
TOPIC = "glassworks/line_a"


class Face(StrEnum):
    """The three servers in front of the plant."""

    OPCUA = "opcua"
    MODBUS = "modbus"
    MQTT = "mqtt"


class Status(StrEnum):
    """State of a reading or of an equipment (GLS6), mildest first."""

    OK = "OK"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class Table(StrEnum):
    """Modbus tables in use."""

    INPUT = "input"
    HOLDING = "holding"
    COIL = "coil"


class Encoding(StrEnum):
    """Register types in use."""

    FLOAT32 = "float32"
    INT16 = "int16"
    UINT16 = "uint16"
    UINT32 = "uint32"
    BOOL = "bool"


class WordOrder(StrEnum):
    """Order of the four bytes of a value, A the most significant."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


@dataclass(frozen=True, slots=True)
class Register:
    """Where and how a Modbus signal stands in memory; value = raw * scale."""

    table: Table
    address: int
    encoding: Encoding
    order: WordOrder = WordOrder.ABCD
    scale: float = 1.0

    @property
    def size(self) -> int:
        """Registers (or coils) that the value takes."""
        return 2 if self.encoding in (Encoding.FLOAT32, Encoding.UINT32) else 1


@dataclass(frozen=True, slots=True)
class Band:
    """Below `low` or above `high` a reading is no longer OK."""

    low: float = float("-inf")
    high: float = float("inf")

    def left_by(self, value: float) -> bool:
        """True when the value is outside."""
        return not self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Tag:
    """One signal. `path` stands below the line; noise is the sensor's standard deviation in `unit`."""

    path: str
    face: Face
    unit: str = "1"
    low: float | None = None
    high: float | None = None
    description: str = ""
    type: ValueType = ValueType.FLOAT
    writable: bool = False
    noise: float = 0.0
    decimals: int = 3
    register: Register | None = None
    warning: Band | None = None
    critical: Band | None = None
    line: str = LINE

    @property
    def signal(self) -> str:
        """The whole path, as journals and the daemon name it."""
        return f"{self.line}/{self.path}"

    @property
    def equipment(self) -> str:
        """First part of the path."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.partition("/")[2]

    @property
    def node(self) -> str:
        """The string identifier of its OPC UA node."""
        return self.path.replace("/", ".")

    @property
    def topic(self) -> str:
        """The MQTT topic of its equipment."""
        return f"{TOPIC}/{self.equipment}"

    def status(self, value: Value | None) -> Status:
        """How the reading stands; a missing value is an ERROR."""
        if value is None:
            return Status.ERROR
        if isinstance(value, str | bool):
            return Status.OK
        if self.critical is not None and self.critical.left_by(value):
            return Status.CRITICAL
        if self.warning is not None and self.warning.left_by(value):
            return Status.WARNING
        return Status.OK


def _furnace(name: str, unit: str, low: float, high: float, description: str, noise: float, decimals: int = 3) -> Tag:
    return Tag(f"furnace/{name}", Face.OPCUA, unit, low, high, description, noise=noise, decimals=decimals)


def _float32(
    address: int, name: str, unit: str, high: float, description: str, noise: float, order: WordOrder = WordOrder.ABCD
) -> Tag:
    register = Register(Table.INPUT, address, Encoding.FLOAT32, order)
    low = 20.0 if name == "mould_temperature" else 0.0
    return Tag(f"forming/{name}", Face.MODBUS, unit, low, high, description, noise=noise, register=register)


def _int16(address: int, name: str, unit: str, high: float, description: str, noise: float, scale: float) -> Tag:
    register = Register(Table.INPUT, address, Encoding.INT16, scale=scale)
    return Tag(f"forming/{name}", Face.MODBUS, unit, 0.0, high, description, noise=noise, register=register)


def _counter(table: Table, address: int, name: str, description: str) -> Tag:
    register = Register(table, address, Encoding.UINT32)
    return Tag(f"forming/{name}", Face.MODBUS, description=description, type=ValueType.INT, register=register)


def _setpoint(address: int, name: str, unit: str, low: float, high: float, description: str) -> Tag:
    register = Register(Table.HOLDING, address, Encoding.FLOAT32)
    return Tag(f"forming/{name}", Face.MODBUS, unit, low, high, description, writable=True, register=register)


def _coil(address: int, name: str, description: str) -> Tag:
    register = Register(Table.COIL, address, Encoding.BOOL)
    return Tag(f"forming/{name}", Face.MODBUS, description=description, type=ValueType.BOOL, register=register)


def _annealing(name: str, unit: str, high: float, description: str, noise: float, decimals: int = 3) -> Tag:
    return Tag(f"annealing/{name}", Face.MQTT, unit, 0.0, high, description, noise=noise, decimals=decimals)


FURNACE_TEMPERATURE = Tag(
    "furnace/temperature", Face.OPCUA, "degC", 1200.0, 1700.0, "control thermocouple in the crown",
    noise=0.4, warning=Band(1480.0, 1580.0), critical=Band(1450.0, 1600.0),
)  # fmt: skip

TAGS: tuple[Tag, ...] = (
    FURNACE_TEMPERATURE,
    _furnace("crown_temperature", "degC", 1000.0, 1800.0, "mean of the crown", 0.3),
    _furnace("melt_temperature", "degC", 1000.0, 1700.0, "mean of the melt", 0.3),
    _furnace("throat_temperature", "degC", 900.0, 1600.0, "glass leaving the furnace", 0.3),
    *(
        _furnace(f"zone_{zone}_temperature", "degC", 1000.0, 1800.0, f"burner zone {zone}", 0.6)
        for zone in range(1, 7)
    ),
    _furnace("pressure", "kPa", 0.0, 50.0, "furnace pressure", 0.02, 4),
    _furnace("melt_level", "mm", 0.0, 5000.0, "level of the melt", 0.3),
    _furnace("fuel_flow", "m3/h", 0.0, 5000.0, "natural gas", 6.0),
    _furnace("air_flow", "m3/h", 0.0, 60000.0, "combustion air", 60.0),
    _furnace("oxygen", "%", 0.0, 21.0, "oxygen in the flue gas", 0.03, 4),
    _furnace("power", "kW", 0.0, 50000.0, "heat released by the burners", 40.0),
    _furnace("batch_rate", "kg/s", 0.0, 20.0, "raw material charged", 0.02, 4),
    _furnace("pull_rate", "kg/s", 0.0, 20.0, "glass drawn", 0.008, 4),
    _furnace("viscosity", "Pa.s", 0.0, 100000.0, "of the glass at the throat", 0.5),
    Tag(
        "furnace/temperature_setpoint", Face.OPCUA, "degC", 1200.0, 1700.0, "set-point of the furnace controller",
        writable=True,
    ),
    _counter(Table.INPUT, 0, "scan_counter", "counts the answered reads of the measurement block"),
    _float32(2, "belt_speed", "m/min", 200.0, "measured belt speed", 0.05),
    _float32(4, "thickness", "mm", 20.0, "ribbon thickness, mean", 0.008, WordOrder.CDAB),
    _float32(6, "thickness_left", "mm", 20.0, "ribbon thickness, left edge", 0.012, WordOrder.BADC),
    _float32(8, "thickness_center", "mm", 20.0, "ribbon thickness, centre", 0.012, WordOrder.DCBA),
    _float32(10, "thickness_right", "mm", 20.0, "ribbon thickness, right edge", 0.012),
    _float32(12, "mould_temperature", "degC", 600.0, "mean mould temperature", 0.5),
    *(
        _int16(13 + mould, f"mould_{mould}_temperature", "degC", 1000.0, f"mould {mould}", 0.6, 0.1)
        for mould in range(1, 5)
    ),
    _float32(18, "forming_pressure", "MPa", 100.0, "forming pressure", 0.25),
    _int16(20, "glass_temperature", "degC", 1600.0, "glass at the forming inlet", 1.0, 0.1),
    _int16(21, "ribbon_width", "mm", 5000.0, "ribbon width", 0.6, 1.0),
    _int16(22, "motor_current", "A", 300.0, "belt motor current", 0.3, 0.01),
    _int16(23, "motor_speed", "rpm", 3000.0, "belt motor speed", 1.0, 1.0),
    _float32(24, "vibration", "mm/s", 50.0, "belt gearbox vibration", 0.08),
    Tag(
        "forming/cooling_air_flow", Face.MODBUS, "m3/h", 0.0, 65535.0, "mould cooling air",
        noise=40.0, register=Register(Table.INPUT, 26, Encoding.UINT16),
    ),
    _counter(Table.HOLDING, 100, "setpoint_scan_counter", "counts the answered reads of the set-point block"),
    _setpoint(102, "belt_speed_setpoint", "m/min", 0.0, 200.0, "set-point of the belt drive"),
    _setpoint(104, "mould_temperature_setpoint", "degC", 20.0, 600.0, "set-point of the mould heater"),
    _setpoint(106, "forming_pressure_setpoint", "MPa", 0.0, 100.0, "set-point of the forming pressure"),
    Tag(
        "forming/heartbeat", Face.MODBUS, description="advanced by edged after each verified control cycle",
        type=ValueType.INT, writable=True, register=Register(Table.HOLDING, 108, Encoding.UINT16),
    ),
    _coil(0, "remote_mode", "the PLC accepts remote set-points"),
    _coil(1, "permissive", "interlocks allow belt speed changes"),
    _coil(2, "running", "the line runs"),
    *(
        _annealing(f"zone_{zone}_temperature", "degC", 800.0, f"lehr zone {zone}", 0.4)
        for zone in range(1, 9)
    ),
    Tag(
        "annealing/cooling_rate", Face.MQTT, "degC/min", 0.0, 30.0, "through the annealing range",
        noise=0.3, warning=Band(high=6.0), critical=Band(high=7.0),
    ),
    _annealing("fan_1_speed", "%", 100.0, "cooling fan 1", 0.1),
    _annealing("fan_2_speed", "%", 100.0, "cooling fan 2", 0.1),
    _annealing("residual_stress", "MPa", 50.0, "mid-plane tension", 0.001, 5),
    _annealing("exit_temperature", "degC", 400.0, "glass leaving the lehr", 0.3),
    _annealing("belt_speed", "m/min", 200.0, "lehr belt", 0.005, 4),
    Tag("inspection/units_total", Face.MQTT, description="units inspected", type=ValueType.INT),
    Tag("inspection/defects_total", Face.MQTT, description="units with a defect", type=ValueType.INT),
    Tag(
        "inspection/defect_rate", Face.MQTT, "%", 0.0, 100.0, "share of defects in the last 100 units",
        warning=Band(high=5.0), critical=Band(high=20.0),
    ),
    Tag("inspection/thickness", Face.MQTT, "mm", 0.0, 20.0, "thickness at the inspection machine", noise=0.005),
    Tag("inspection/transmittance", Face.MQTT, "%", 0.0, 100.0, "light transmittance", noise=0.05),
    Tag("inspection/last_defect", Face.MQTT, description="type of the last defect, or none", type=ValueType.STRING),
)  # fmt: skip
"""All signals, face by face, in the order in which snapshots carry their values."""

BY_PATH: dict[str, Tag] = {tag.path: tag for tag in TAGS}
"""The same by path below the line."""


def tags_of(face: Face) -> tuple[Tag, ...]:
    """The signals of one face, in table order."""
    return tuple(tag for tag in TAGS if tag.face is face)
