"""Connector kinds by name: ours and those that third parties add through the entry-point group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import BaseModel

from edged.clock import Clock
from edged.errors import ConfigError
from edged.ports import Connector
from edged.types import Seal, Signal

CONNECTOR_GROUP = "edged.connectors"


@dataclass(frozen=True, slots=True)
class Binding:
    """A signal and where it is found at its source; `address` is an instance of the kind's address model."""

    signal: Signal
    address: BaseModel


@dataclass(frozen=True, slots=True)
class SourceSetup:
    """Everything a connector is built from. Building validates and never touches the network."""

    name: str
    options: BaseModel
    bindings: tuple[Binding, ...]
    clock: Clock
    seal: Seal
    state_directory: Path


@dataclass(frozen=True, slots=True)
class ConnectorKind:
    """One kind of source: its option and address models, how to build it, and how to browse it into a config stub."""

    name: str
    options: type[BaseModel]
    address: type[BaseModel]
    build: Callable[[SourceSetup], Connector]
    browse: Callable[[BaseModel], Awaitable[str]] | None = None


@cache
def connector_kinds() -> dict[str, ConnectorKind]:
    """Every installed kind by name. Raises ConfigError when a plug-in does not provide a ConnectorKind."""
    kinds: dict[str, ConnectorKind] = {}
    for entry in entry_points(group=CONNECTOR_GROUP):
        kind = entry.load()
        if not isinstance(kind, ConnectorKind):
            raise ConfigError([f"entry point {entry.name} in {CONNECTOR_GROUP}: not a ConnectorKind, got {kind!r}"])
        kinds[entry.name] = kind
    return kinds
