"""Values read at the server now: fresh reads for control, and the polling mode for servers without subscriptions."""

from __future__ import annotations

from collections.abc import Sequence

from edged.clock import Clock
from edged.ports import Reading, SignalStatus
from edged.types import Quality, Sample
from edged_connectors.south.opcua_items import Item, as_seen, sample_of
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_values import change_of

NAMESPACE_UNKNOWN = "namespace_unknown"
RETRY_SECONDS = 60.0
REFUSALS = frozenset(
    {
        NAMESPACE_UNKNOWN,
        "BadNodeIdUnknown",
        "BadNodeIdInvalid",
        "BadAttributeIdInvalid",
        "BadNotReadable",
        "BadUserAccessDenied",
    }
)


async def look_up(session: Session, items: Sequence[Item], clock: Clock) -> list[Sample]:
    """A sample per item, in order, in as few calls as the server takes. Raises SourceLost."""
    nodes = [session.resolve(item.reference) for item in items]
    values = iter(await session.read([node for node in nodes if node is not None]))
    received = clock.now()
    samples = []
    for handle, (item, node) in enumerate(zip(items, nodes, strict=True)):
        if node is None:
            samples.append(Sample(item.path, None, received, received, Quality.BAD, NAMESPACE_UNKNOWN))
        else:
            change = change_of(handle, next(values))
            samples.append(as_seen(sample_of(item.path, item.convert, change, received), change))
    return samples


class PollingCycle:
    """Reads every item once per period; items that the server refuses are asked for once a minute instead."""

    def __init__(self, session: Session, items: Sequence[Item], clock: Clock, period_seconds: float) -> None:
        self._session = session
        self._clock = clock
        self._period = period_seconds
        self._good: list[Item] = list(items)
        self._refused: list[Item] = []
        self._due = clock.monotonic()
        self._retry_due = 0.0
        self._first: list[Sample] | None = None

    async def start(self) -> list[SignalStatus]:
        """Reads everything once, to learn what the server refuses; the first `read` brings these values."""
        samples = await look_up(self._session, self._good, self._clock)
        statuses = [SignalStatus(s.signal, s.reason not in REFUSALS, s.reason) for s in samples]
        self._first = self._sort_out(self._good, samples)
        self._retry_due = self._clock.monotonic() + RETRY_SECONDS
        return statuses

    async def read(self) -> Reading:
        """The values of the next period; periods that passed while reading are skipped, not made up for."""
        if self._first is not None:
            samples, self._first = self._first, None
            return Reading(samples)
        self._due = max(self._due + self._period, self._clock.monotonic())
        await self._clock.sleep(self._due - self._clock.monotonic())
        items = self._good
        if self._refused and self._clock.monotonic() >= self._retry_due:
            self._retry_due = self._clock.monotonic() + RETRY_SECONDS
            await self._session.read_namespaces()
            items = self._good + self._refused
        return Reading(self._sort_out(items, await look_up(self._session, items, self._clock)))

    def _sort_out(self, items: Sequence[Item], samples: Sequence[Sample]) -> list[Sample]:
        """Parts what the server gave from what it refuses, and returns the former."""
        if len(items) > len(self._good) or any(sample.reason in REFUSALS for sample in samples):
            pairs = list(zip(items, samples, strict=True))
            self._good = [item for item, sample in pairs if sample.reason not in REFUSALS]
            self._refused = [item for item, sample in pairs if sample.reason in REFUSALS]
            return [sample for _, sample in pairs if sample.reason not in REFUSALS]
        return list(samples)
