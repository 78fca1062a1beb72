"""A server's variables as a configuration stub."""

from __future__ import annotations

from edged_connectors.south.opcua_options import OpcUaOptions


async def browse(options: OpcUaOptions) -> str:
    """YAML."""
    return options.endpoint
