"""The OPC UA kind. The client library is loaded when a source is built, not when kinds are listed."""

from __future__ import annotations

from pydantic import BaseModel

from edged.ports import Connector
from edged.registry import ConnectorKind, SourceSetup
from edged_connectors.south.opcua_options import OpcUaAddress, OpcUaOptions


def _build(setup: SourceSetup) -> Connector:
    from edged_connectors.south.opcua_connector import OpcUaConnector

    return OpcUaConnector(setup)


async def _browse(options: BaseModel) -> str:
    from edged_connectors.south.opcua_browse import browse

    assert isinstance(options, OpcUaOptions)
    return await browse(options)


def _overload(options: BaseModel, signals: int) -> str:
    assert isinstance(options, OpcUaOptions)
    return options.overload(signals)


KIND = ConnectorKind(
    name="opcua", options=OpcUaOptions, address=OpcUaAddress, build=_build, browse=_browse, overload=_overload
)
