"""A configuration as far as it is sound: every part is read on its own, so that one fault hides no other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from edged.document import Document
from edged.errors import ConfigError, MissingLibrary
from edged.faults import Faults, Origin, Where, did_you_mean, got, report
from edged.registry import ConnectorKind
from edged.settings import (
    AlarmSettings,
    ControlSettings,
    HttpSettings,
    HubSettings,
    LimitSettings,
    LineSettings,
    LoopSettings,
    ModelSettings,
    SignalSettings,
    SparkplugSettings,
)
from edged.taglist import read_tag_list
from edged.types import Signal

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Part(Generic[M]):
    """One sound section and where it stands."""

    origin: Origin
    where: Where
    value: M


@dataclass(frozen=True, slots=True)
class SignalPart:
    """One signal of a source; `settings` or `address` is None when it has faults of its own."""

    origin: Origin
    where: Where
    name: str
    settings: SignalSettings | None
    address: BaseModel | None


@dataclass(frozen=True, slots=True)
class SourcePart:
    """One source; kind and options are None when they have faults of their own."""

    name: str
    where: Where
    kind: ConnectorKind | None
    options: BaseModel | None
    signals: tuple[SignalPart, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything sound in one file."""

    document: Document
    folder: Path
    sources: tuple[SourcePart, ...]
    models: tuple[Part[ModelSettings], ...]
    alarms: tuple[Part[AlarmSettings], ...]
    limits: tuple[Part[LimitSettings], ...]
    loops: tuple[Part[LoopSettings], ...]
    http: Part[HttpSettings] | None
    hub: Part[HubSettings] | None
    sparkplug: Part[SparkplugSettings] | None
    control: Part[ControlSettings] | None

    def sections(self) -> Iterator[tuple[Where, BaseModel]]:
        """Every sound model in the file with its place, nested ones included."""
        for part in (self.http, self.hub, self.sparkplug, self.control, *self.models):
            if part is not None:
                yield from _nested(part.where, part.value)
        for source in self.sources:
            if source.options is not None:
                yield from _nested((*source.where, "options"), source.options)


def draft_line(document: Document, folder: Path, kinds: Mapping[str, ConnectorKind], faults: Faults) -> Draft:
    """Reads every part of a line's document and adds the faults of each."""
    try:
        LineSettings.model_validate(document.data)
    except ValidationError as error:
        report(error, LineSettings, document, (), faults)
    reader = _Reader(document, folder, kinds, faults)
    return Draft(
        document=document,
        folder=folder,
        sources=tuple(reader.source(where, raw) for where, raw in document.entries("sources")),
        models=reader.parts(ModelSettings, "models"),
        alarms=reader.parts(AlarmSettings, "alarms"),
        limits=reader.parts(LimitSettings, "control", "limits"),
        loops=reader.parts(LoopSettings, "control", "loops"),
        http=reader.part(HttpSettings, "http"),
        hub=reader.part(HubSettings, "hub"),
        sparkplug=reader.part(SparkplugSettings, "sparkplug"),
        control=reader.part(ControlSettings, "control"),
    )


def anchored(value: M, folder: Path) -> M:
    """The model with every relative path in it taken from `folder`."""
    changes = {}
    for name in type(value).model_fields:
        old = getattr(value, name)
        new = _anchor(old, folder)
        if new is not old:
            changes[name] = new
    return value.model_copy(update=changes) if changes else value


def _anchor(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return Path(os.path.normpath(folder / value))
    if isinstance(value, BaseModel):
        return anchored(value, folder)
    if isinstance(value, tuple) and any(isinstance(item, Path | BaseModel) for item in value):
        return tuple(_anchor(item, folder) for item in value)
    if isinstance(value, list) and any(isinstance(item, Path | BaseModel) for item in value):
        return [_anchor(item, folder) for item in value]
    if isinstance(value, dict) and any(isinstance(item, Path | BaseModel) for item in value.values()):
        return {key: _anchor(item, folder) for key, item in value.items()}
    return value


def _nested(where: Where, value: object) -> Iterator[tuple[Where, BaseModel]]:
    if isinstance(value, BaseModel):
        yield where, value
        for name in type(value).model_fields:
            yield from _nested((*where, name), getattr(value, name))
    elif isinstance(value, tuple | list):
        for position, item in enumerate(value):
            yield from _nested((*where, position), item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _nested((*where, key), item)


class _Reader:
    def __init__(self, document: Document, folder: Path, kinds: Mapping[str, ConnectorKind], faults: Faults) -> None:
        self._document = document
        self._folder = folder
        self._kinds = kinds
        self._faults = faults

    def part(self, model: type[M], *where: str | int) -> Part[M] | None:
        """The section at a place; None when it is absent or faulty (its faults are known already)."""
        raw = self._document.at(*where)
        if raw is None:
            return None
        try:
            value = model.model_validate(raw)
        except ValidationError:
            return None
        return Part(self._document, where, anchored(value, self._folder))

    def parts(self, model: type[M], *where: str | int) -> tuple[Part[M], ...]:
        """The sound sections of the list at a place."""
        found = (self.part(model, *place) for place, _ in self._document.entries(*where))
        return tuple(part for part in found if part is not None)

    def source(self, where: Where, raw: object) -> SourcePart:
        kind = self._kind(where, raw)
        options = self._options(where, raw, kind)
        signals = (*self._signals(where, kind), *self._listed(where, raw, kind))
        if kind is not None and kind.overload is not None and options is not None:
            reason = kind.overload(options, len(signals))
            if reason:
                self._faults.add(self._document, (*where, "options"), reason)
        return SourcePart(name=str(where[-1]), where=where, kind=kind, options=options, signals=signals)

    def _kind(self, where: Where, raw: object) -> ConnectorKind | None:
        name = raw.get("kind") if isinstance(raw, dict) else None
        place = (*where, "kind")
        if not isinstance(name, str) or self._faults.at(self._document, place):
            return None
        if name not in self._kinds:
            known = ", ".join(sorted(self._kinds))
            text = f"unknown kind of source, {got(name)}{did_you_mean(name, self._kinds)} (installed: {known})"
            self._faults.add(self._document, place, text)
            return None
        try:
            return self._kinds[name]
        except (MissingLibrary, ConfigError) as error:
            self._faults.add(self._document, place, str(error))
        return None

    def _options(self, where: Where, raw: object, kind: ConnectorKind | None) -> BaseModel | None:
        options = raw.get("options", {}) if isinstance(raw, dict) else None
        if kind is None or not isinstance(options, dict):
            return None
        value = self._checked(kind.options, options, self._document, (*where, "options"))
        return anchored(value, self._folder) if value is not None else None

    def _checked(self, model: type[M], raw: object, origin: Origin, where: Where) -> M | None:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            report(error, model, origin, where, self._faults)
        return None

    def _signals(self, where: Where, kind: ConnectorKind | None) -> Iterator[SignalPart]:
        for place, raw in self._document.entries(*where, "signals"):
            part = self.part(SignalSettings, *place)
            yield self._signal(self._document, place, raw, part.value if part else None, kind)

    def _listed(self, where: Where, raw: object, kind: ConnectorKind | None) -> Iterator[SignalPart]:
        name = raw.get("signals_file") if isinstance(raw, dict) else None
        if not isinstance(name, str):
            return
        for row in read_tag_list(Path(self._document.file).parent / name, self._faults):
            settings = self._checked(SignalSettings, row.signal, row, ())
            yield self._signal(row, (), row.signal, settings, kind)

    def _signal(
        self, origin: Origin, where: Where, raw: object, settings: SignalSettings | None, kind: ConnectorKind | None
    ) -> SignalPart:
        given = raw if isinstance(raw, dict) else {}
        address = given.get("address", {})
        checked = None
        if kind is not None and isinstance(address, dict):
            checked = self._checked(kind.address, address, origin, (*where, "address"))
            self._check_fit(origin, where, settings, kind, checked)
        return SignalPart(origin, where, str(given.get("name", "")), settings, checked)

    def _check_fit(
        self,
        origin: Origin,
        where: Where,
        settings: SignalSettings | None,
        kind: ConnectorKind,
        address: BaseModel | None,
    ) -> None:
        if settings is None or address is None or kind.misfit is None:
            return
        signal = Signal(settings.name, settings.unit, settings.type, writable=settings.writable)
        reason = kind.misfit(signal, address)
        if reason:
            self._faults.add(origin, (*where, "address"), reason)
