"""Connector kinds by name: ours and those that third parties add through the entry-point group."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, requires
from pathlib import Path

from pydantic import BaseModel

from edged.clock import Clock
from edged.errors import ConfigError, MissingLibrary
from edged.ports import Connector
from edged.types import Seal, Signal

CONNECTOR_GROUP = "edged.connectors"
EVERYTHING = "all"
"""The extra that brings every optional library."""


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
    """One kind of source: its option and address models, how to build it, and how to browse it into a config stub.

    `misfit` says why a signal of that type cannot be kept at that address, `overload` why a source with these options
    cannot have so many signals; empty when all is well, else `edged check` tells file and line.
    """

    name: str
    options: type[BaseModel]
    address: type[BaseModel]
    build: Callable[[SourceSetup], Connector]
    browse: Callable[[BaseModel], Awaitable[str]] | None = None
    misfit: Callable[[Signal, BaseModel], str] | None = None
    overload: Callable[[BaseModel, int], str] | None = None


class InstalledKinds(Mapping[str, ConnectorKind]):
    """Every installed kind by name; a kind's module is imported when it is first asked for."""

    def __init__(self) -> None:
        self._entries = {entry.name: entry for entry in entry_points(group=CONNECTOR_GROUP)}

    def __getitem__(self, name: str) -> ConnectorKind:
        """Raises KeyError for an unknown kind, MissingLibrary without its library, ConfigError for what is no kind."""
        entry = self._entries[name]
        try:
            kind = entry.load()
        except (ImportError, AttributeError) as error:
            library = (getattr(error, "name", None) or "").partition(".")[0]
            if isinstance(error, ModuleNotFoundError) and library != entry.module.partition(".")[0]:
                raise MissingLibrary(library, extra_of(library)) from error
            raise ConfigError([f"entry point {name} in {CONNECTOR_GROUP}: cannot be loaded: {error}"]) from error
        if not isinstance(kind, ConnectorKind):
            raise ConfigError([f"entry point {name} in {CONNECTOR_GROUP}: not a ConnectorKind, got {kind!r}"])
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@cache
def connector_kinds() -> Mapping[str, ConnectorKind]:
    """The installed kinds; see InstalledKinds for what a look-up raises."""
    return InstalledKinds()


def extra_of(library: str) -> str:
    """The extra of edged that brings a library, or `all` when no single one is known."""
    try:
        requirements = requires("edged") or []
    except PackageNotFoundError:
        return EVERYTHING
    for requirement in requirements:
        named, _, marker = requirement.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if not extra or extra[1] == EVERYTHING:
            continue
        if re.split(r"[^A-Za-z0-9_.-]", named.strip())[0].lower().replace("-", "_") == library.lower():
            return extra[1]
    return EVERYTHING
