"""Reads one line's configuration: every fault at once, each with file, line, place and what was meant."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ValidationError

from edged import units
from edged.checks import LineChecks, narrowed, output_signal
from edged.document import Document, read_document
from edged.draft import Draft, SourcePart, anchored, draft_line
from edged.errors import ConfigError
from edged.faults import Faults, report
from edged.loop_kpi import loop_kpi_signals
from edged.outside import OutsideChecks
from edged.registry import Binding, ConnectorKind, connector_kinds
from edged.settings import LimitSettings, LimitsList, LineSettings, SignalSettings
from edged.types import Limits, Signal

HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source, checked by its kind; the signals of its bindings bear full paths."""

    name: str
    kind: ConnectorKind
    options: BaseModel
    bindings: tuple[Binding, ...]
    silence_seconds: float


@dataclass(frozen=True, slots=True)
class LineConfig:
    """Everything one daemon needs to know. `limits` lie within each signal's range; the ceiling is not applied yet.

    `control` tells where in that section of the file something stands.
    """

    settings: LineSettings
    control: Document
    path: Path
    hash: str
    sources: tuple[SourceConfig, ...]
    signals: Mapping[str, Signal]
    limits: tuple[Limits, ...]
    warnings: tuple[str, ...]

    def full(self, name: str) -> str:
        """The path of a signal named below the line."""
        return f"{self.settings.line}/{name}"


def load(
    path: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    kinds: Mapping[str, ConnectorKind] | None = None,
    tolerate_missing: bool = False,
) -> LineConfig:
    """Reads a line's file. Raises ConfigError; `tolerate_missing` makes absent secrets and files warnings."""
    faults = Faults()
    document = _sections(path, environment, faults)
    folder = Path(os.path.abspath(path)).parent
    draft = draft_line(document, folder, connector_kinds() if kinds is None else kinds, faults)
    outside = OutsideChecks(draft, faults, environment, tolerate_missing=tolerate_missing)
    outside.run()
    checks = LineChecks(draft, faults, _ceiling(draft, faults))
    checks.run()
    faults.raise_any()
    settings = anchored(LineSettings.model_validate(document.data), folder)
    return _assemble(settings, path, document, draft, (*outside.warnings, *checks.warnings))


def load_limits(path: Path, line: str | None = None) -> tuple[Limits, ...]:
    """Reads a ceiling file; nothing in it comes from the environment. Paths are full when `line` is given."""
    faults = Faults()
    found = _read_limits(path, faults)
    faults.raise_any()
    return tuple(_limits(limit, limit.low, limit.high, line) for limit in found)


def read_limits(path: Path) -> Mapping[str, LimitSettings]:
    """A file of limits to push, by the place of each in it, FILE:LINE. Raises ConfigError with every fault."""
    faults = Faults()
    found = _read_limits(path, faults)
    faults.raise_any()
    document = read_document(path, faults)
    if document is None or not found:
        raise ConfigError([f"{path}: expected `limits:` and a list of them, got none"])
    return {f"{path}:{document.line(('limits', position))}": limit for position, limit in enumerate(found)}


def _sections(path: Path, environment: Mapping[str, str], faults: Faults) -> Document:
    document = read_document(path, faults, environment)
    if document is not None and isinstance(document.data, dict):
        return document
    if document is not None:
        faults.add_at(str(path), 1, "", "expected the sections of a line (site, line, sources...), got none")
    raise faults.error()


def _ceiling(draft: Draft, faults: Faults) -> tuple[LimitSettings, ...] | None:
    """The ceiling's limits; None where it cannot be read, which is told elsewhere."""
    if draft.control is None or not draft.control.value.ceiling.exists():
        return None
    before = len(faults)
    limits = _read_limits(draft.control.value.ceiling, faults)
    return limits if len(faults) == before else None


def _read_limits(path: Path, faults: Faults) -> tuple[LimitSettings, ...]:
    document = read_document(path, faults)
    if document is None:
        return ()
    try:
        limits = LimitsList.model_validate(document.data).limits
    except ValidationError as error:
        report(error, LimitsList, document, (), faults)
        return ()
    first: dict[str, int] = {}
    for position, limit in enumerate(limits):
        where = ("limits", position)
        if not units.known(limit.unit):
            meant = units.suggest(limit.unit)
            hint = f", did you mean {meant!r}?" if meant else ""
            faults.add(document, (*where, "unit"), f"unknown unit, got {limit.unit!r}{hint}")
        if limit.signal in first:
            text = f"duplicate limits of {limit.signal!r}, first on line {first[limit.signal]}"
            faults.add(document, (*where, "signal"), text)
        first.setdefault(limit.signal, document.line(where))
    return limits


def _assemble(
    settings: LineSettings, path: Path, document: Document, draft: Draft, warnings: tuple[str, ...]
) -> LineConfig:
    line = settings.line
    sources = tuple(_source(part, settings) for part in draft.sources)
    signals = {binding.signal.path: binding.signal for source in sources for binding in source.bindings}
    for model in settings.models:
        output = _signal(output_signal(model.output), line, f"output of model {model.name}")
        signals[output.path] = output
    for declared in loop_kpi_signals(settings.control) if settings.control else ():
        figure = _signal(declared, line)
        signals[figure.path] = figure
    return LineConfig(
        settings=_without_signals(settings),
        control=document.section("control"),
        path=path,
        hash=_hash(document, draft),
        sources=sources,
        signals=MappingProxyType(signals),
        limits=_effective_limits(draft, line),
        warnings=warnings,
    )


def _without_signals(settings: LineSettings) -> LineSettings:
    """The bindings hold them now: ten thousand signals told twice are 8 MB."""
    sources = {name: source.model_copy(update={"signals": ()}) for name, source in settings.sources.items()}
    return settings.model_copy(update={"sources": sources})


def _source(part: SourcePart, settings: LineSettings) -> SourceConfig:
    assert part.kind is not None
    assert part.options is not None
    bindings = []
    for signal in part.signals:
        assert signal.settings is not None
        assert signal.address is not None
        bindings.append(Binding(_signal(signal.settings, settings.line), signal.address))
    silence = settings.sources[part.name].silence_seconds
    return SourceConfig(part.name, part.kind, part.options, tuple(bindings), silence)


def _signal(settings: SignalSettings, line: str, description: str = "") -> Signal:
    return Signal(
        path=f"{line}/{settings.name}",
        unit=settings.unit,
        type=settings.type,
        low=settings.low,
        high=settings.high,
        deadband=settings.deadband,
        writable=settings.writable,
        description=settings.description or description,
    )


def _effective_limits(draft: Draft, line: str) -> tuple[Limits, ...]:
    declared = {signal.name: signal.settings for source in draft.sources for signal in source.signals}
    declared |= {model.value.output: output_signal(model.value.output) for model in draft.models}
    found = []
    for part in draft.limits:
        signal = declared[part.value.signal]
        assert signal is not None
        span = narrowed(part.value, signal)
        assert span is not None
        found.append(_limits(part.value, *span, line))
    return tuple(found)


def _limits(limit: LimitSettings, low: float, high: float, line: str | None) -> Limits:
    signal = limit.signal if line is None else f"{line}/{limit.signal}"
    return Limits(signal, low, high, limit.per_second(), limit.approval_threshold, limit.unit)


def _hash(document: Document, draft: Draft) -> str:
    """Equal for files that say the same, whatever their comments, order of keys and layout."""
    listed = [
        signal.settings.model_dump(mode="json")
        for source in draft.sources
        for signal in source.signals
        if signal.origin is not document and signal.settings is not None
    ]
    canonical = json.dumps([document.data, listed], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:HASH_DIGITS]
