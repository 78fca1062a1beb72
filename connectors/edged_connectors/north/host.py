"""The primary host: whether it is there, and from when on it may have missed what the broker took."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import orjson

from edged.settings import SparkplugSettings
from edged.types import NANOSECONDS_PER_SECOND
from edged_connectors.north.topics import NAMESPACE, state_topics

KEEP_ALIVES_IN_DOUBT = 2
NOTICE_SECONDS = 60.0
"""How long the broker may be gone before we learn that the host was gone too."""


class HostState(StrEnum):
    """UNUSED: no primary host is configured, births never wait. UNKNOWN: it has not spoken on this connection."""

    UNUSED = "unused"
    UNKNOWN = "unknown"
    ONLINE = "online"
    OFFLINE = "offline"


def hold_seconds(settings: SparkplugSettings) -> float:
    """How long the outbox has to keep what was confirmed, for `Sink.unconfirm`; 0 without a primary host."""
    if settings.primary_host is None:
        return 0.0
    return KEEP_ALIVES_IN_DOUBT * settings.keep_alive_seconds + NOTICE_SECONDS


class Doubt(NamedTuple):
    """Samples of this span (ns UTC) reached the broker, but perhaps not the host."""

    since: int
    until: int


class PrimaryHost:
    """Listens to both STATE forms. Times are ns UTC; `timestamp` is the host's own, in ms, of its last birth."""

    def __init__(
        self, name: str | None, keep_alive_seconds: float, timestamp: int | None = None, seen: int | None = None
    ) -> None:
        self._topics = state_topics(name) if name else ()
        self._window = round(KEEP_ALIVES_IN_DOUBT * keep_alive_seconds * NANOSECONDS_PER_SECOND)
        self._born = timestamp
        self._seen = seen
        self._newest: int | None = None
        self._since: int | None = None
        self.state = HostState.UNKNOWN if name else HostState.UNUSED

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return self._topics

    @property
    def ready(self) -> bool:
        """Whether births and data may go out."""
        return self.state in (HostState.ONLINE, HostState.UNUSED)

    @property
    def timestamp(self) -> int | None:
        """Of the host's last known birth, ms; None for the legacy form."""
        return self._born

    @property
    def seen(self) -> int | None:
        """When the host was last known to be there."""
        return self._seen

    def connected(self) -> None:
        """A new connection: what other brokers said of the host does not count here."""
        if self.state != HostState.UNUSED:
            self.state = HostState.UNKNOWN
        self._newest = None

    def lost(self, now: int) -> None:
        """The connection is gone: up to now the host was what it was."""
        if self.state == HostState.ONLINE:
            self._seen = now

    def hear(self, topic: str, payload: bytes, *, retained: bool, now: int) -> bool:
        """Takes a STATE message; false when it makes no sense. Older messages than the newest are passed over."""
        online, timestamp = _read_state(payload)
        if online is None or topic not in self._topics:
            return False
        if timestamp is None and self._newest is not None and not topic.startswith(NAMESPACE):
            return True
        if timestamp is not None:
            if self._newest is not None and timestamp < self._newest:
                return True
            self._newest = timestamp
        if online:
            self._came(timestamp, retained=retained, now=now)
        else:
            self._went(now)
        return True

    def doubt(self, now: int) -> Doubt | None:
        """The span to send again, once; asked for early, because what is confirmed is not kept for long."""
        if self._since is None:
            return None
        since, self._since = self._since, None
        return Doubt(since, now)

    def _came(self, timestamp: int | None, *, retained: bool, now: int) -> None:
        reborn = not retained if timestamp is None else timestamp != self._born
        if reborn and self._seen is not None:
            self._suspect(now if self.state == HostState.ONLINE else self._seen)
        self.state = HostState.ONLINE
        self._born = timestamp
        self._seen = now

    def _went(self, now: int) -> None:
        if self.state == HostState.ONLINE:
            self._seen = now
        if self._seen is not None:
            self._suspect(self._seen)
        self.state = HostState.OFFLINE

    def _suspect(self, moment: int) -> None:
        since = moment - self._window
        self._since = since if self._since is None else min(self._since, since)


def _read_state(payload: bytes) -> tuple[bool | None, int | None]:
    """(online, timestamp): JSON of Sparkplug 3.0, or the plain word of older hosts; (None, None) is neither."""
    word = payload.strip().upper()
    if word in (b"ONLINE", b"OFFLINE"):
        return word == b"ONLINE", None
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None, None
    if not isinstance(document, dict) or not isinstance(document.get("online"), bool):
        return None, None
    timestamp = document.get("timestamp")
    return document["online"], timestamp if isinstance(timestamp, int) else None
