"""The OPC UA client: subscription or polling, fresh reads, sealed writes. Dumb on purpose: the runner reconnects."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from edged.ports import Connection, Reading, Recalled, Span
from edged.registry import SourceSetup
from edged.types import Command
from edged_connectors.south.inbox import Inbox
from edged_connectors.south.opcua_history import ServerHistory
from edged_connectors.south.opcua_items import items_of
from edged_connectors.south.opcua_memory import LimitsFile
from edged_connectors.south.opcua_options import Mode, OpcUaOptions
from edged_connectors.south.opcua_reader import PollingCycle, look_up
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_subscription import Subscription
from edged_connectors.south.opcua_writer import OpcUaWriter

INBOX_SAMPLES = 100_000
"""Several seconds of the fastest server we know; beyond it the oldest values become a Gap."""


class OpcUaConnector:
    """One connection to one server; built anew for every attempt."""

    def __init__(self, setup: SourceSetup) -> None:
        options = setup.options
        assert isinstance(options, OpcUaOptions)
        self._clock = setup.clock
        self._recall_seconds = options.recall_seconds()
        self._polls = options.mode is Mode.POLLING
        items = items_of(setup)
        self._by_path = {item.path: item for item in items}
        self._inbox = Inbox(setup.name, INBOX_SAMPLES)
        self._session = Session(options, self._inbox.fail)
        self._limits_file = LimitsFile(setup.state_directory, setup.name, options.endpoint)
        self._writer = OpcUaWriter(setup.seal, setup.clock, self._session, self._by_path)
        self._subscription = Subscription(setup.name, self._session, items, options, self._inbox, setup.clock)
        self._cycle = PollingCycle(self._session, items, setup.clock, options.polling_milliseconds / 1000)

    async def connect(self) -> Connection:
        """Opens a session and sets up every signal. Raises SourceUnreachable, AccessRefused or SourceLost."""
        await self._limits_file.load(self._session.limits)
        await self._session.open()
        await self._writer.learn_types()
        statuses = await (self._cycle.start() if self._polls else self._subscription.create())
        await self._limits_file.keep(self._session.limits)
        return Connection(statuses, recall_seconds=self._recall_seconds)

    async def read(self) -> Reading:
        """The next notifications or sign of life, or the values of the next period. Raises SourceLost."""
        return await (self._cycle.read() if self._polls else self._inbox.take())

    def recall(self, spans: Sequence[Span]) -> AsyncGenerator[Recalled, None]:
        """What the server's history holds of the spans, part by part. Raises SourceLost."""
        return ServerHistory(self._session, self._by_path, self._clock).recall(spans)

    async def poll(self, signals: Sequence[str]) -> Reading:
        """Fresh values of the signals, in batches. Raises SourceLost."""
        known = [self._by_path[path] for path in signals if path in self._by_path]
        return Reading(await look_up(self._session, known, self._clock), come_again=not self._polls)

    async def write(self, command: Command) -> None:
        """One sealed value. Raises WriteFailed or WriteUnknown."""
        await self._writer.write(command)

    async def close(self) -> None:
        """Leaves the server in good order; bounded, never raises."""
        await self._subscription.close()
        await self._session.close()
