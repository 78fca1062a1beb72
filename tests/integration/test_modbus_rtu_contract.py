"""The Modbus connector keeps the contract of every kind on a serial line, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.registry import SourceSetup
from edged_connectors.south.modbus import ModbusOptions
from tests.integration.connector_contract import ConnectorContract
from tests.integration.modbus_rig import DeviceProcess, running_device
from tests.integration.serial_cable import SerialCable, serial_cable
from tests.integration.test_modbus_contract import ModbusRig


class RtuRig(ModbusRig):
    """The same device, read through a serial line; its registers are changed over TCP."""

    def __init__(self, process: DeviceProcess, cable: SerialCable, folder: Path) -> None:
        super().__init__(process, folder)
        self.cable = cable
        options = ModbusOptions.model_validate(
            {"serial": {"path": str(cable.path), "parity": "none"}, "period_milliseconds": 20, "timeout_seconds": 0.3}
        )
        old = self.setup
        self.setup = SourceSetup(old.name, options, old.bindings, old.clock, old.seal, old.state_directory)


class AdapterRig(RtuRig):
    """Here the adapter is what breaks."""

    async def break_off(self) -> None:
        self.cable.unplug()

    async def restore(self) -> None:
        self.cable.plug()


class TestDevice(ConnectorContract):
    """A pymodbus serial server in a process of its own that is killed and started again."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[RtuRig]:
        with serial_cable(tmp_path) as cable:
            async with running_device(tmp_path, cable.device_path) as device:
                yield RtuRig(device, cable, tmp_path)


async def test_an_adapter_that_is_pulled_out_and_plugged_in_again(tmp_path: Path) -> None:
    """Its path vanishes and returns as another terminal."""
    with serial_cable(tmp_path) as cable:
        async with running_device(tmp_path, cable.device_path) as device:
            rig = AdapterRig(device, cable, tmp_path)
            await ConnectorContract().test_a_loss_is_told_and_a_new_connector_reads_soon_after_the_return(rig)
            await ConnectorContract().test_a_device_that_is_away_is_unreachable(rig)
