"""An archive for others: texts without secrets, a list of what is in it, and of what could not be had."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml

from edged.clock import Clock
from edged.errors import EdgedError
from edged.redact import Redactor
from edged.types import NANOSECONDS_PER_SECOND

FOLDER = "edged-support"
OWNER_ONLY = 0o600


class CannotWrite(EdgedError):
    """The bundle could not be written: name another place by --out."""


class Bundle:
    """Collects named texts, each without secrets, and what could not be had."""

    def __init__(self, redactor: Redactor, clock: Clock) -> None:
        self._redactor = redactor
        self._clock = clock
        self._files: dict[str, bytes] = {}
        self.missing: list[str] = []

    def __len__(self) -> int:
        return len(self._files)

    def add(self, name: str, text: str) -> None:
        """One file of edged's own words."""
        self._files[name] = _bytes(self._redactor.own_text(text))

    def add_log(self, name: str, heading: str, text: str) -> None:
        """One file into which anybody may have written anything."""
        self._files[name] = _bytes(f"{self._redactor.own_text(heading)}\n{self._redactor.free_text(text)}")

    def add_json(self, name: str, value: object) -> None:
        """One file of JSON."""
        plain = self._redactor.section(json.loads(json.dumps(value, default=str)))
        self._files[name] = _bytes(json.dumps(plain, indent=2) + "\n")

    def add_yaml(self, name: str, value: object) -> None:
        """One file of YAML, whose secrets are out already; known ones are looked for once more."""
        self._files[name] = _bytes(yaml.safe_dump(self._redactor.inside(value), sort_keys=False, allow_unicode=True))

    def attempt(self, name: str, gather: Callable[[], None]) -> None:
        """Gathers one part; what goes wrong is noted, and the rest goes on."""
        try:
            gather()
        except (EdgedError, OSError, ValueError) as fault:
            self.missing.append(self._redactor.own_text(f"{name}: {fault}"))

    def write(self, path: Path, readme: str) -> None:
        """A compressed archive that only its owner can read. Raises CannotWrite."""
        now = self._clock.now() // NANOSECONDS_PER_SECOND
        self.add("README.txt", readme)
        manifest = {
            "created": datetime.fromtimestamp(now, UTC).isoformat(),
            "files": {name: len(content) for name, content in sorted(self._files.items())},
            "missing": self.missing,
        }
        self._files["manifest.json"] = _bytes(json.dumps(manifest, indent=2) + "\n")
        draft = path.with_name(path.name + ".new")
        try:
            draft.unlink(missing_ok=True)
            try:
                self._archive(draft, now)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        except (OSError, ValueError) as fault:
            raise CannotWrite(f"{path}: {getattr(fault, 'strerror', None) or fault}") from fault

    def _archive(self, path: Path, now: int) -> None:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(opened, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in sorted(self._files.items()):
                entry = tarfile.TarInfo(f"{FOLDER}/{name}")
                entry.size, entry.mtime, entry.mode = len(content), now, OWNER_ONLY
                archive.addfile(entry, io.BytesIO(content))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
