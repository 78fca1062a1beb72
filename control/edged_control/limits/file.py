"""Limits that were pushed, as they outlive restarts: a small file of its own, which never means more than it says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field, ValidationError

from edged.clock import Clock
from edged.section import Positive, Section
from edged.settings import Finite
from edged.types import Limits
from edged_control.consent import SpentList
from edged_control.files import LOCAL, Files


class KeptLimits(Section):
    """The pushed limits of one signal, and who pushed them when (ns UTC).

    `config_hash` is that of the configuration under which they were accepted: signed, or within what was in force.
    `widest_threshold` is the widest approval threshold that was in force since limits are pushed.
    """

    signal: str
    unit: str
    low: Finite
    high: Finite
    rate_per_second: Positive
    approval_threshold: Positive
    widest_threshold: Positive
    config_hash: str
    identity: str
    signer: str
    time: int

    def limits(self) -> Limits:
        """Its numbers."""
        return Limits(self.signal, self.low, self.high, self.rate_per_second, self.approval_threshold, self.unit)


class PushedLimits(SpentList):
    """`lost` says that an earlier file was damaged: a signal that isn't named here may have been in it.

    `checksum` covers everything else.
    """

    signals: dict[str, KeptLimits] = Field(default_factory=dict)
    lost: bool = False
    checksum: str = ""

    def sealed(self) -> PushedLimits:
        """With the checksum that it must have."""
        content = self.model_dump_json(exclude={"checksum"}).encode()
        return self.model_copy(update={"checksum": hashlib.blake2b(content, digest_size=16).hexdigest()})


class LimitsFile:
    """Replaced as a whole and synced."""

    def __init__(self, path: Path, clock: Clock, files: Files = LOCAL) -> None:
        self.path = path
        self._files = files
        self._clock = clock

    def load(self) -> PushedLimits:
        """What was kept. From a file that can't be read, or is damaged, nothing is believed."""
        try:
            found = PushedLimits.model_validate_json(self._files.read(self.path))
        except FileNotFoundError:
            return PushedLimits()
        except (OSError, ValidationError):
            found = PushedLimits()
        if found.checksum == found.sealed().checksum:
            return found
        return PushedLimits(lost=True, spent_until=self._clock.now())

    def keep(self, pushed: PushedLimits) -> None:
        """Returns when it is on disk. Raises OSError, and then still holds what was kept before."""
        self._files.replace(self.path, pushed.sealed().model_dump_json(indent=1))
