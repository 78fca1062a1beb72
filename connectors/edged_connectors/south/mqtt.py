"""MQTT ingest: a lasting session, acknowledged by hand after the commit, every message counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiomqtt
from pydantic import BaseModel

from edged.errors import SourceLost
from edged.log import get_logger
from edged.ports import MARKS_KEPT, Connection, Connector, Reading, SignalStatus
from edged.registry import ConnectorKind, SourceSetup
from edged.types import Event, Gap, Sample, Signal
from edged_connectors.south.mqtt_edge_node import Heard
from edged_connectors.south.mqtt_messages import SAMPLES_MARK, Decoded, Decoder, Message, Target, mark
from edged_connectors.south.mqtt_options import MqttAddress, MqttOptions, Protocol
from edged_connectors.south.mqtt_payload import JsonPath, matches
from edged_connectors.south.mqtt_session import MqttSession, SessionOptions
from edged_connectors.south.mqtt_sparkplug import SparkplugIngest, rebirth_request

LIFE_SECONDS = 1.0
"""A reading comes at least so often, empty on a quiet broker; paho's keep-alive finds out a dead one."""
OVERFLOW = "mqtt_overflow"

log = get_logger("mqtt")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Packet identifiers in order of arrival, and the connection that they belong to."""

    session: MqttSession
    mids: tuple[int, ...]


class MqttConnector:
    """One session at one broker. It cannot write: set-points over MQTT would have no readback."""

    def __init__(self, setup: SourceSetup) -> None:
        options = setup.options
        assert isinstance(options, MqttOptions)
        self._name = setup.name
        self._clock = setup.clock
        self._options = options
        self._targets = [
            Target(
                binding.signal.path,
                binding.signal.type,
                binding.address.topic,
                JsonPath.parse(binding.address.path) if binding.address.path else None,
            )
            for binding in setup.bindings
            if isinstance(binding.address, MqttAddress) and binding.address.topic is not None
        ]
        points = [
            point
            for binding in setup.bindings
            if isinstance(binding.address, MqttAddress) and (point := binding.address.point(binding.signal))
        ]
        self._sparkplug = SparkplugIngest(
            setup.name,
            points,
            max_payload_bytes=options.max_payload_bytes,
            interval=options.sparkplug.rebirth_interval_seconds,
        )
        self._decoder = Decoder(
            setup.name,
            self._targets,
            time_path=JsonPath.parse(options.timestamp_path) if options.timestamp_path else None,
            results=options.results.target() if options.results else None,
            max_payload_bytes=options.max_payload_bytes,
        )
        self._known: dict[bytes, None] = {}
        self._session: MqttSession | None = None
        self._resumed = False
        self._next: Reading | None = None
        self._rejected_topics: set[str] = set()
        self._told_dropped = 0
        self.repeated = 0
        self.rejected = 0

    def resume(self, marks: Sequence[bytes]) -> None:
        """Tells what is committed already, so that it is dropped when the broker delivers it again."""
        self._known = dict.fromkeys(marks)

    async def connect(self) -> Connection:
        """Takes the session up and subscribes. Raises AccessRefused or SourceUnreachable."""
        options = self._options
        session = MqttSession(
            SessionOptions(
                options.broker,
                aiomqtt.ProtocolVersion.V5 if options.protocol is Protocol.V5 else aiomqtt.ProtocolVersion.V311,
                options.client_id,
                options.keep_alive_seconds,
                options.connect_timeout_seconds,
                options.session_expiry_seconds,
                options.receive_maximum,
            ),
            self._clock,
        )
        await session.open()
        self._session = session
        self._resumed = session.session_present
        filters = self._filters()
        refused = dict(zip(filters, await session.subscribe_all(filters), strict=True))
        for topic in self._sparkplug.first_commands(self._clock.monotonic()):
            session.send(topic, rebirth_request(self._clock.now()))
        statuses = [self._status(target.signal, target.filter, refused) for target in self._targets]
        for point, wanted in self._sparkplug.points:
            statuses.append(self._status(point.signal, wanted, refused))
        return Connection(statuses, resumed=self._resumed and not self._sparkplug.points)

    async def read(self) -> Reading:
        """Everything that arrived; empty after a quiet second. Raises SourceLost."""
        if self._next is not None:
            reading, self._next = self._next, None
            return reading
        if self._session is None:
            raise SourceLost(f"{self._name} is not connected")
        messages = await self._session.arrival(LIFE_SECONDS)
        reading = self._digest(self._session, messages) if messages else Reading()
        for topic in self._sparkplug.commands(self._clock.monotonic()):
            self._session.send(topic, rebirth_request(self._clock.now()))
        overdue = self._sparkplug.overdue(self._clock.monotonic(), self._clock.now())
        return reading._replace(samples=[*reading.samples, *overdue]) if overdue and not reading.events else reading

    def acknowledge(self, receipt: object) -> None:
        """Acknowledges at the broker, if the receipt is of the connection that stands."""
        if isinstance(receipt, Receipt) and receipt.session is self._session:
            self._session.acknowledge(receipt.mids)

    async def close(self) -> None:
        """Disconnects; the broker keeps the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.leave()

    def _filters(self) -> list[str]:
        """What to subscribe to; a filter that another one covers would bring its messages twice."""
        wanted = {target.filter for target in self._targets} | set(self._sparkplug.filters)
        if self._options.results is not None:
            wanted.add(self._options.results.topic)
        return sorted(one for one in wanted if not any(other != one and matches(other, one) for other in wanted))

    def _status(self, signal: str, wanted: str, refused: dict[str, str]) -> SignalStatus:
        reason = next((why for one, why in refused.items() if matches(one, wanted)), "")
        return SignalStatus(signal, not reason, reason)

    def _digest(self, session: MqttSession, messages: Sequence[Message]) -> Reading:
        """One reading with the samples; when there are results too, they and the receipt follow in the next one."""
        before = self.rejected
        samples: list[Sample] = []
        past: list[Sample] = []
        gaps: list[Gap] = []
        events: list[Event] = []
        sample_marks: list[bytes] = []
        event_marks: list[bytes] = []
        for message in messages:
            if self._sparkplug.hears(message.topic):
                heard, known_by = self._hear(message)
                samples += heard.samples
                past += heard.past
                gaps += heard.gaps
                sample_marks += known_by
                continue
            decoded = self._decode(message)
            if decoded.samples and self._is_new(message, decoded.sample_mark, timed=decoded.timed):
                samples += decoded.samples
                sample_marks.append(decoded.sample_mark)
            if decoded.result and self._is_new(message, decoded.result_mark, timed=decoded.timed):
                events.append(decoded.result)
                event_marks.append(decoded.result_mark)
        mids = tuple(message.mid for message in messages if message.qos)
        receipt = Receipt(session, mids) if mids else None
        gaps += self._overflow(session)
        rejected = self.rejected - before
        if not events:
            return Reading(samples, gaps, receipt, (), sample_marks, rejected, past)
        last = Reading((), (), receipt, events, event_marks)
        if not samples and not past and not gaps and not rejected:
            return last
        self._next = last
        return Reading(samples, gaps, None, (), sample_marks, rejected, past)

    def _hear(self, message: Message) -> tuple[Heard, list[bytes]]:
        """What a Sparkplug message said, and its mark when it may be delivered again."""
        own = mark(SAMPLES_MARK, message, timed=False)
        if message.qos and not self._is_new(message, own, timed=False):
            return Heard(), []
        heard = self._sparkplug.take(message, self._clock.monotonic())
        self._note_fault(message.topic, heard.fault)
        return heard, [own] if message.qos and (heard.samples or heard.past) else []

    def _decode(self, message: Message) -> Decoded:
        if message.retain and self._resumed and self._options.protocol is Protocol.V311:
            return Decoded()
        decoded = self._decoder.decode(message)
        self._note_fault(message.topic, decoded.fault)
        return decoded

    def _note_fault(self, topic: str, fault: str) -> None:
        """Counts what could not be used; says so when it begins and when it is over."""
        if fault:
            self.rejected += 1
            if topic not in self._rejected_topics and len(self._rejected_topics) < MARKS_KEPT:
                self._rejected_topics.add(topic)
                log.warning("payload_rejected", source=self._name, topic=topic, fault=fault)
        elif topic in self._rejected_topics:
            self._rejected_topics.discard(topic)
            log.info("payload_accepted", source=self._name, topic=topic)

    def _is_new(self, message: Message, mark: bytes, *, timed: bool) -> bool:
        """False for what is known already: any copy of a message with a time, else what the broker delivers again."""
        if mark in self._known and (timed or message.dup):
            self.repeated += 1
            return False
        if len(self._known) >= MARKS_KEPT:
            del self._known[next(iter(self._known))]
        self._known[mark] = None
        return True

    def _overflow(self, session: MqttSession) -> Sequence[Gap]:
        dropped = session.dropped - self._told_dropped
        if not dropped:
            return ()
        self._told_dropped = session.dropped
        now = self._clock.now()
        return [Gap(self._name, now, now, OVERFLOW, samples=dropped)]


def misfit(signal: Signal, address: BaseModel) -> str:
    """Nothing is written over MQTT."""
    del address
    return "a signal over MQTT cannot be written: it has no readback" if signal.writable else ""


def build(setup: SourceSetup) -> Connector:
    """Touches nothing."""
    return MqttConnector(setup)


KIND = ConnectorKind("mqtt", MqttOptions, MqttAddress, build, misfit=misfit)
