"""What of a configuration may be shown to others: what its schema knows to be no secret, and nothing else."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, Union, cast, get_args, get_origin

from pydantic import BaseModel

from edged.errors import ConfigError, MissingLibrary
from edged.redact import REDACTED, is_secret_name
from edged.registry import ConnectorKind
from edged.settings import LineSettings, Secret, SignalSettings, SourceSettings

NOT_SHOWN = "[not shown]"
OUR_PACKAGE = "edged_connectors."
USERNAME, PASSWORD = "username", "password"
UNIONS = (Union, types.UnionType)
Kinds: TypeAlias = Mapping[str, ConnectorKind]


@dataclass(slots=True)
class Disclosure:
    """A configuration as it may be shown, the secrets in it, and whatever else of it is not shown."""

    shown: object = None
    secrets: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    """Every key and value that is shown."""


def disclose(data: object, kinds: Kinds) -> Disclosure:
    """Looks through a line's document. What stands at no place of the schema, or where a secret belongs, is hidden."""
    disclosure = Disclosure()
    disclosure.shown = _Discloser(kinds, disclosure).value(data, LineSettings)
    return disclosure


class _Discloser:
    def __init__(self, kinds: Kinds, found: Disclosure) -> None:
        self._kinds = kinds
        self._found = found

    def value(self, value: object, annotation: object) -> object:
        if value is None:
            return None
        choices = list(_choices(annotation))
        models = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
        if isinstance(value, Mapping) and models:
            return self._section(value, models)
        if isinstance(value, Mapping):
            inner = next((get_args(choice) for choice in choices if get_origin(choice) is dict), None)
            return {self._word(k): self.value(v, inner[1]) for k, v in value.items()} if inner else self._hide(value)
        if isinstance(value, list):
            inner = next((get_args(choice) for choice in choices if get_origin(choice) in (tuple, list)), None)
            return [self.value(item, inner[0]) for item in value] if inner else self._hide(value)
        if any(_is_scalar(choice) for choice in choices):
            return self._word(value)
        return self._hide(value)

    def _section(self, value: Mapping[str, object], models: list[type[BaseModel]]) -> object:
        if SourceSettings in models:
            return self._source(value)
        return {self._word(name): self._option(name, item, value, models) for name, item in value.items()}

    def _option(self, name: str, item: object, section: Mapping[str, object], models: list[type[BaseModel]]) -> object:
        known = next((model.model_fields[name] for model in models if name in model.model_fields), None)
        if known is None or (name == USERNAME and not section.get(PASSWORD)):
            return self._hide(item, secret=is_secret_name(name) or name == USERNAME)
        annotation: object = known.annotation
        if is_secret_name(name) and Secret not in models and Secret not in _choices(annotation):
            return self._hide(item, secret=True)
        if Secret in _choices(annotation) and not isinstance(item, Mapping):
            return self._hide(item, secret=True)
        return self.value(item, annotation)

    def _source(self, value: Mapping[str, object]) -> object:
        """One source: its options and addresses are known by its kind; those of other makers' kinds are not shown."""
        kind = self._kind(value.get("kind"))
        shown: dict[object, object] = {}
        for name, item in value.items():
            if name == "options":
                shown[name] = self.value(item, kind.options) if kind else self._hide(item)
            elif name == "signals" and isinstance(item, list):
                shown[name] = [self._signal(signal, kind) for signal in item]
            else:
                shown[self._word(name)] = self._option(name, item, value, [SourceSettings])
        return shown

    def _signal(self, value: object, kind: ConnectorKind | None) -> object:
        if not isinstance(value, Mapping):
            return self._hide(value)
        shown = self._section({name: item for name, item in value.items() if name != "address"}, [SignalSettings])
        address = value.get("address")
        place = self.value(address, kind.address) if kind else self._hide(address)
        return {**cast("dict[object, object]", shown), "address": place}

    def _kind(self, name: object) -> ConnectorKind | None:
        try:
            kind = self._kinds[name] if isinstance(name, str) else None
        except (KeyError, MissingLibrary, ConfigError):
            return None
        return kind if kind and kind.options.__module__.startswith(OUR_PACKAGE) else None

    def _word(self, value: object) -> object:
        self._found.words.add(str(value))
        return value

    def _hide(self, value: object, *, secret: bool = False) -> object:
        """The keys stay, so that one sees what is set."""
        if isinstance(value, Mapping):
            return {
                self._word(name): self._hide(item, secret=secret or is_secret_name(str(name)))
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._hide(item, secret=secret) for item in value]
        if value is None:
            return None
        (self._found.secrets if secret else self._found.hidden).append(str(value))
        return REDACTED if secret else NOT_SHOWN


def _choices(annotation: object) -> Iterator[Any]:
    """The alternatives of an annotation, without what pydantic adds to them."""
    if get_origin(annotation) is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif get_origin(annotation) in UNIONS:
        for choice in get_args(annotation):
            yield from _choices(choice)
    else:
        yield annotation


def _is_scalar(choice: object) -> bool:
    if choice is Any or choice is type(None) or get_origin(choice) in (dict, tuple, list):
        return False
    return not (isinstance(choice, type) and issubclass(choice, BaseModel))
