"""The fake keeps the contract of every kind: what is tested against it holds for the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.ports import Connector
from edged.registry import Binding, SourceSetup
from edged.types import Seal, Signal
from edged_connectors.south.fake import FakeAddress, FakeConnector, FakeDevice, FakeOptions, Waveform
from tests.integration.connector_contract import ConnectorContract

READING = "line_a/fake/reading"
WRITABLE = "line_a/fake/writable"
ABSENT = "line_a/fake/absent"


class FakeRig:
    """A fake device as the contract sees it."""

    reading = READING
    writable: str | None = WRITABLE
    absent: str | None = ABSENT
    refuses_at_connect = True
    loss_seconds = 1.0
    pace_seconds = 0.0

    def __init__(self, folder: Path) -> None:
        self.seal = Seal()
        self.device = FakeDevice(SystemClock())
        self.device.refused[ABSENT] = "unknown_address"
        silent = FakeAddress(waveform=Waveform.SILENT)
        signals = (Signal(READING, "1"), Signal(WRITABLE, "1", writable=True), Signal(ABSENT, "1"))
        bindings = tuple(Binding(signal, silent) for signal in signals)
        self.setup = SourceSetup("fake", FakeOptions(), bindings, SystemClock(), self.seal, folder)

    def build(self) -> Connector:
        return FakeConnector(self.setup, self.device)

    async def change(self, value: float) -> None:
        self.device.change(READING, value)

    async def held(self) -> float:
        return self.device.written[-1].value

    async def break_off(self) -> None:
        self.device.reachable = False
        self.device.break_off()

    async def restore(self) -> None:
        self.device.reachable = True


@pytest.fixture
async def rig(tmp_path: Path) -> FakeRig:
    return FakeRig(tmp_path)


class TestFakeContract(ConnectorContract):
    """Every rule of the contract, without a network."""
