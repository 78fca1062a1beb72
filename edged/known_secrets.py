"""Finds the secrets of this box: where a configuration says, in the environment, among systemd's credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edged.disclosure import Disclosure, Kinds, disclose
from edged.document import Document, read_document
from edged.faults import Faults
from edged.redact import assigned, in_urls, is_secret_name, secrets_of_file
from edged.settings import Secret

PLACE_KEYS = frozenset(Secret.model_fields)
PRIVATE_KEY_OPTION = "key"
NO_SECRETS = frozenset({"true", "false", "none", "null"})
CREDENTIALS = "CREDENTIALS_DIRECTORY"
_FILE_IN_TEXT = re.compile(r"\b(?:file|key)\b[\"']?[ \t]*:[ \t]*[\"']?([^\s\"',}]+)")
_VARIABLE_IN_TEXT = re.compile(r"\benvironment\b[\"']?[ \t]*:[ \t]*[\"']?(\w+)")

_SUBSTITUTION = re.compile(r"\$\{[^}\n]*\}")


@dataclass(frozen=True, slots=True)
class Known:
    """What must not leave: secrets wherever they stand, and words that are no secrets for all we know but not shown."""

    secrets: tuple[str, ...]
    words: tuple[str, ...]


def of_box() -> list[str]:
    """The secrets in the environment and in systemd's credentials."""
    found = []
    for name, value in os.environ.items():
        if is_secret_name(name) and value.lower() not in NO_SECRETS:
            found += _held(value)
        found += in_urls(value)
    folder = Path(os.environ.get(CREDENTIALS, ""))
    if os.environ.get(CREDENTIALS) and folder.is_dir():
        found += [content for file in folder.iterdir() for content in secrets_of_file(file)]
    return found


def _held(value: str) -> list[str]:
    """A variable holds a secret, or names the file of one, or a place (PWD, SSH_AUTH_SOCK) that is none."""
    if os.path.isabs(value) and os.path.exists(value):
        return secrets_of_file(Path(value))
    return [value]


def of_config(path: Path, kinds: Kinds) -> Known:
    """The secrets of a configuration, as far as it can be read: also of one that is no YAML, and in its comments."""
    folder = path.absolute().parent
    text = _text(path)
    documents = _documents(path)
    found = assigned(_SUBSTITUTION.sub("", text) if documents else text)
    found += [secret for line in text.splitlines() for secret in in_urls(line)]
    for name in _FILE_IN_TEXT.findall(text):
        found += secrets_of_file(folder / name)
    found += [os.environ.get(name, "") for name in _VARIABLE_IN_TEXT.findall(text)]
    disclosures = [disclose(document.data, kinds) for document in documents]
    shown = {word for disclosure in disclosures for word in disclosure.words}
    secrets = [value for value in found if value not in shown]
    for document, disclosure in zip(documents, disclosures, strict=True):
        secrets += _of_document(document, disclosure, folder)
    hidden = {value for disclosure in disclosures for value in disclosure.hidden}
    return Known(tuple(secrets), tuple(word for word in hidden - shown if word.lower() not in NO_SECRETS))


def read_place(value: object, folder: Path) -> str | None:
    """The secret that is kept there; None when it cannot be had."""
    try:
        place = Secret.model_validate(value)
        return place.model_copy(update={"file": folder / place.file}).read() if place.file else place.read()
    except (ValidationError, OSError, KeyError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _documents(path: Path) -> list[Document]:
    """The file as it stands, and with what it takes from the environment."""
    read = (read_document(path, Faults()), read_document(path, Faults(), os.environ))
    return [document for document in read if document is not None]


def _of_document(document: Document, disclosure: Disclosure, folder: Path) -> Iterator[str]:
    yield from disclosure.secrets
    for name, value in _leaves("", document.data):
        if isinstance(value, Mapping):
            if isinstance(value.get("file"), str):
                yield from secrets_of_file(folder / str(value["file"]))
            yield read_place(value, folder) or ""
        elif isinstance(value, str):
            yield from in_urls(value)
            if name.endswith(PRIVATE_KEY_OPTION):
                yield from secrets_of_file(folder / value)


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value of a configuration with the key that it stands under; the place of a secret counts as one value."""
    if isinstance(value, dict) and not (value and set(value) <= PLACE_KEYS):
        for key, item in value.items():
            yield from _leaves(str(key), item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(name, item)
    else:
        yield name, value
