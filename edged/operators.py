"""Who may operate control at this box. A token names its operator and is shown once; only a salted hash is kept.

The token's random part has 256 bits, so a plain salted hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edged.durable import replace_file
from edged.errors import EdgedError
from edged.ports import Role
from edged.settings import NAME_PATTERN

RANDOM_BYTES = 32
SALT_BYTES = 16
MAX_TOKEN_CHARACTERS = 256
READABLE = 0o644
"""Hashes only: the daemon runs as a user of its own and must be able to read them."""
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]+$")]


class NoOperators(EdgedError):
    """Nobody may operate control here: make an operator with `edged control add-operator NAME --role operator`."""


class WrongOperator(EdgedError):
    """There is no such operator, or the name is taken: `edged control operators` lists them."""


class Operator(NamedTuple):
    """Whose token it was."""

    name: str
    role: Role


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
    role: Role
    salt: Hex
    hash: Hex


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    operators: tuple[_Entry, ...] = ()


class Operators:
    """Reads the file at every question: who is taken out of it is refused from then on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, token: str) -> Operator | None:
        """Whose token it is, or None. Raises NoOperators when nobody is named, or the file is not to be trusted."""
        entries = self._trusted()
        name, _, random = token.partition(".")
        for entry in entries:
            if entry.name == name and random and len(token) <= MAX_TOKEN_CHARACTERS:
                good = hmac.compare_digest(entry.hash, _hash(bytes.fromhex(entry.salt), token))
                return Operator(entry.name, entry.role) if good else None
        return None

    def names(self) -> tuple[Operator, ...]:
        """Everybody in the file. Raises NoOperators when it can't be read."""
        return tuple(Operator(entry.name, entry.role) for entry in self._read())

    def add(self, name: str, role: Role) -> str:
        """The token of a new operator. Raises WrongOperator, NoOperators for a damaged file, OSError."""
        entries = self._read()
        if any(entry.name == name for entry in entries):
            raise WrongOperator(f"{name} is there already: take the old one out first (remove-operator)")
        token = f"{name}.{secrets.token_urlsafe(RANDOM_BYTES)}"
        salt = secrets.token_bytes(SALT_BYTES)
        try:
            entry = _Entry(name=name, role=role, salt=salt.hex(), hash=_hash(salt, token))
        except ValidationError as fault:
            raise WrongOperator(f"{name!r} is no name: lower case, digits and underscores, a letter first") from fault
        self._write((*entries, entry))
        return token

    def remove(self, name: str) -> None:
        """Takes an operator out. Raises WrongOperator, NoOperators, OSError."""
        entries = self._read()
        left = tuple(entry for entry in entries if entry.name != name)
        if left == entries:
            raise WrongOperator(f"{name} is not in {self._path}")
        self._write(left)

    def _trusted(self) -> tuple[_Entry, ...]:
        entries = self._read()
        if not entries:
            raise NoOperators(f"no operator is named in {self._path}")
        if self._path.stat().st_mode & WRITABLE_BY_OTHERS:
            raise NoOperators(f"{self._path} is writable by others, so it is not trusted: chmod 644 {self._path}")
        return entries

    def _read(self) -> tuple[_Entry, ...]:
        try:
            return _File.model_validate_json(self._path.read_bytes()).operators
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as fault:
            raise NoOperators(f"{self._path} can't be read: {_first_line(fault)}") from fault

    def _write(self, entries: tuple[_Entry, ...]) -> None:
        replace_file(self._path, _File(operators=entries).model_dump_json(indent=1) + "\n", READABLE)


def _hash(salt: bytes, token: str) -> str:
    return hashlib.sha256(salt + token.encode("utf-8", "surrogatepass")).hexdigest()


def _first_line(fault: Exception) -> str:
    return str(fault).partition("\n")[0]
