"""Prometheus metrics of one daemon, in a registry of their own. No per-signal labels: rendering runs on the loop."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

PIPELINE_BUCKETS_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0)
"""Fine below 5 ms, the bar of a value's way through the daemon."""
LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Makes metrics by name, each once: asking again for the same name gives the same metric."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; its name ends in _total."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Counter(name, help_text, labels, registry=self._registry)
        assert isinstance(made, Counter)
        return made

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Gauge(name, help_text, labels, registry=self._registry)
        assert isinstance(made, Gauge)
        return made

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = LATENCY_BUCKETS_SECONDS,
    ) -> Histogram:
        """A distribution of seconds."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Histogram(name, help_text, labels, registry=self._registry, buckets=buckets)
        assert isinstance(made, Histogram)
        return made

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
