"""The OPC UA connector keeps the contract of every kind, by subscription and by polling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.connector_contract import ConnectorContract
from tests.integration.opcua_rig import OpcUaRig


async def running(rig: OpcUaRig) -> AsyncIterator[OpcUaRig]:
    """The rig while its server runs."""
    await rig.server.start()
    try:
        yield rig
    finally:
        await rig.server.kill()


class TestSubscription(ConnectorContract):
    """The server reports changes."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[OpcUaRig]:
        async for rig in running(OpcUaRig(tmp_path)):
            yield rig


class TestPolling(ConnectorContract):
    """We read everything each period."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[OpcUaRig]:
        async for rig in running(OpcUaRig(tmp_path, mode="polling", polling_milliseconds=40)):
            yield rig
