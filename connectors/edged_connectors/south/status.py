"""How a source is doing: its state, its counts, and the metrics that repeat them."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass
from enum import StrEnum

from edged.metrics import Metrics
from edged.ports import SignalStatus
from edged.types import NANOSECONDS_PER_SECOND, Sample


class SourceState(StrEnum):
    """Where the connection of a source stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class FaultCount:
    """How often one kind of fault ended or prevented a connection."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source. Times in ns UTC; `sessions` counts connections made, `refused` names what the source denied.

    `rejections` counts messages that could not be used.
    """

    name: str
    state: SourceState
    since: int
    sessions: int
    last_data: int | None
    signals: int
    accepted: int
    refused: tuple[SignalStatus, ...]
    faults: tuple[FaultCount, ...]
    last_fault: str
    samples: int
    gaps: int
    skewed: int
    skew_seconds: float
    outstanding: int
    rejections: int = 0


class SourceMeters:
    """Counts of one source, kept once for the status and once, by cached children, for Prometheus."""

    def __init__(self, name: str, metrics: Metrics) -> None:
        label = ("source",)
        self.samples = 0
        self.gaps = 0
        self.skewed = 0
        self.rejections = 0
        self.sessions = 0
        self.skew_seconds = 0.0
        self.last_data: int | None = None
        self.last_fault = ""
        self.faults: Tally[str] = Tally()
        self._name = name
        self._online = metrics.gauge("edged_source_online", "1 while the source is connected", label).labels(name)
        self._samples = metrics.counter("edged_source_samples_total", "Samples read", label).labels(name)
        self._gaps = metrics.counter("edged_source_gaps_total", "Known losses", label).labels(name)
        self._sessions = metrics.counter("edged_source_sessions_total", "Connections made", label).labels(name)
        self._faults = metrics.counter("edged_source_faults_total", "Faults by kind", ("source", "kind"))
        self._rejected = metrics.counter(
            "edged_source_rejected_total", "Messages that could not be used", label
        ).labels(name)
        self._recalled = metrics.counter(
            "edged_source_recalled_samples_total", "Samples of a gap that the source's history filled", label
        ).labels(name)
        self._refused = metrics.gauge("edged_source_refused_signals", "Signals that it denies", label).labels(name)
        self._skew = metrics.gauge("edged_source_skew_seconds", "Receive minus source time", label).labels(name)
        self._skewed = metrics.counter(
            "edged_source_skewed_samples_total", "Samples whose source time was not believed", label
        ).labels(name)

    def connected(self, refused: int) -> None:
        """A connection stands."""
        self.sessions += 1
        self._sessions.inc()
        self._online.set(1)
        self._refused.set(refused)

    def refuses(self, refused: int) -> None:
        """So many signals are denied now."""
        self._refused.set(refused)

    def disconnected(self) -> None:
        """No connection stands."""
        self._online.set(0)

    def failed(self, kind: str, sentence: str) -> None:
        """A connection ended or did not come about."""
        self.last_fault = sentence
        self.faults[kind] += 1
        self._faults.labels(self._name, kind).inc()

    def received(self, samples: int, newest: Sample) -> None:
        """So many samples came; the newest tells the skew."""
        self.samples += samples
        self._samples.inc(samples)
        self.last_data = newest.receive_time
        self.skew_seconds = (newest.receive_time - newest.source_time) / NANOSECONDS_PER_SECOND
        self._skew.set(self.skew_seconds)

    def recalled(self, samples: int) -> None:
        """So many samples came out of the source's history."""
        self.samples += samples
        self._samples.inc(samples)
        self._recalled.inc(samples)

    def lost(self, gaps: int) -> None:
        """So many gaps were found."""
        self.gaps += gaps
        self._gaps.inc(gaps)

    def rejected(self, messages: int) -> None:
        """So many messages could not be used."""
        self.rejections += messages
        self._rejected.inc(messages)

    def disbelieved(self, samples: int) -> None:
        """So many source times were replaced."""
        self.skewed += samples
        self._skewed.inc(samples)
