"""Browses a device into a configuration stub, by the kind's own browser."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from textwrap import indent
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from edged.errors import ConfigError, EdgedError
from edged.faults import Faults, Where, did_you_mean, report
from edged.registry import ConnectorKind, connector_kinds

LINE_FILE = """\
# What {endpoint} offers.
# Correct site, line, names, units and ranges, take out what you do not want, and let `edged check` read the file.
site: my_site
line: line_1
data_directory: run/line_1
sources:
"""


class CannotBrowse(EdgedError):
    """Sources of this kind cannot tell what they offer: write the signals by hand, or import them as CSV."""


class _CommandLine:
    """Where options come from that no file holds."""

    file = "command line"

    def line(self, where: Where) -> int:
        del where
        return 1


def browse(
    name: str, endpoint: str, pairs: Sequence[str] = (), *, kinds: Mapping[str, ConnectorKind] | None = None
) -> str:
    """A device's signals as they stand below `sources`. Raises ConfigError, CannotBrowse, and what the kind raises."""
    installed = connector_kinds() if kinds is None else kinds
    if name not in installed:
        known = ", ".join(sorted(installed))
        raise ConfigError([f"unknown kind {name!r}{did_you_mean(name, installed)} (installed: {known})"])
    kind = installed[name]
    if kind.browse is None:
        raise CannotBrowse(f"a source of kind {name} cannot be browsed: write its signals by hand or as CSV")
    return asyncio.run(_browsed(kind, _options(kind, {**endpoint_options(kind.options, endpoint), **_given(pairs)})))


def line_file(endpoint: str, source: str) -> str:
    """A whole configuration around the one source that `browse` found."""
    return LINE_FILE.format(endpoint=endpoint) + indent(source, "  ")


async def _browsed(kind: ConnectorKind, options: BaseModel) -> str:
    assert kind.browse is not None
    return await kind.browse(options)


def endpoint_options(model: type[BaseModel], endpoint: str) -> dict[str, object]:
    """ENDPOINT as the options that the kind's model has for it: endpoint, broker, or host and port."""
    if "endpoint" in model.model_fields:
        return {"endpoint": endpoint}
    address = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        place: dict[str, object] = {"host": address.hostname or endpoint}
        if address.port is not None:
            place["port"] = address.port
    except ValueError as error:
        raise ConfigError([f"ENDPOINT: expected HOST:PORT, got {endpoint!r} ({error})"]) from error
    return {"broker": place} if "broker" in model.model_fields else place


def _given(pairs: Sequence[str]) -> dict[str, object]:
    options: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError([f"expected KEY=VALUE, got {pair!r}"])
        *outer, last = key.split(".")
        target = options
        for name in outer:
            inner = target.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ConfigError([f"{key}: {name} has a value already, so nothing can stand below it"])
            target = inner
        target[last] = value
    return options


def _options(kind: ConnectorKind, given: Mapping[str, object]) -> BaseModel:
    try:
        return kind.options.model_validate(given)
    except ValidationError as error:
        faults = Faults()
        report(error, kind.options, _CommandLine(), (), faults)
        raise faults.error() from error
