"""From messages to samples and quality results: which signals a topic feeds, and what its payload says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from edged.types import Quality, QualityResult, Sample, Value, ValueType
from edged_connectors.south.mqtt_payload import (
    CONVERTERS,
    MISSING,
    BadPayload,
    Json,
    JsonPath,
    child,
    matches,
    misfit,
    parse_json,
    parse_time,
    plain,
)

MARK_BYTES = 16
SAMPLES_MARK = b"s"
EVENTS_MARK = b"e"
ROUTES_KEPT = 10_000
"""Topics remembered with their route; a source that names more of them is looked up again."""

NO_TIME = "no usable timestamp in the payload"
OLD_VALUE = "retained by the broker, of unknown age"


class Message(NamedTuple):
    """One message as it arrived; `received` in ns UTC."""

    topic: str
    payload: bytes
    received: int
    qos: int = 0
    mid: int = 0
    dup: bool = False
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A signal and where in the messages of some topics it is found; without a path the payload is the value."""

    signal: str
    type: ValueType
    filter: str
    path: JsonPath | None


@dataclass(frozen=True, slots=True)
class ResultTarget:
    """Where quality results are found."""

    filter: str
    unit: JsonPath
    passed: JsonPath
    defect: JsonPath | None


class Decoded(NamedTuple):
    """What one message said. A mark is there for each lane that the message feeds; `fault` when it was unusable."""

    samples: Sequence[Sample] = ()
    result: QualityResult | None = None
    sample_mark: bytes = b""
    result_mark: bytes = b""
    timed: bool = False
    fault: str = ""


class _Leaf(NamedTuple):
    step: str | int | None
    signal: str
    convert: Callable[[Json], Value | None]
    type: ValueType


@dataclass(frozen=True, slots=True)
class _Route:
    """What a topic feeds: leaves by the node that they hang on, plain values, and results."""

    branches: tuple[tuple[JsonPath, tuple[_Leaf, ...]], ...]
    plain: tuple[_Leaf, ...]
    results: bool

    @property
    def signals(self) -> list[str]:
        return [leaf.signal for _, leaves in self.branches for leaf in leaves] + [leaf.signal for leaf in self.plain]


class Decoder:
    """Decodes messages for the targets of one source. It never raises because of what a message holds."""

    def __init__(
        self,
        source: str,
        targets: Sequence[Target],
        *,
        time_path: JsonPath | None,
        results: ResultTarget | None,
        max_payload_bytes: int,
    ) -> None:
        self._source = source
        self._targets = targets
        self._time_path = time_path
        self._results = results
        self._max_bytes = max_payload_bytes
        self._routes: dict[str, _Route] = {}

    def decode(self, message: Message) -> Decoded:
        """The samples and the result in a message, with their marks."""
        route = self._route(message.topic)
        if not route.branches and not route.plain and not route.results:
            return Decoded(fault="no signal is bound to this topic")
        if len(message.payload) > self._max_bytes:
            return self._quarantine(message, route, f"{len(message.payload)} bytes are more than max_payload_bytes")
        try:
            return self._read(message, route)
        except BadPayload as fault:
            return self._quarantine(message, route, str(fault))

    def _read(self, message: Message, route: _Route) -> Decoded:
        document = parse_json(message.payload) if route.branches or route.results else MISSING
        stamp, quality, reason, timed = self._stamp(message, document)
        samples = []
        for path, leaves in route.branches:
            node = path.find(document)
            for step, signal, convert, kind in leaves:
                found = node if step is None else child(node, step)
                value = convert(found)
                if value is None:
                    samples.append(Sample(signal, None, stamp, message.received, Quality.BAD, misfit(found, kind)))
                else:
                    samples.append(Sample(signal, value, stamp, message.received, quality, reason))
        for leaf in route.plain:
            found = plain(message.payload, leaf.type)
            value = leaf.convert(found)
            bad = value is None
            samples.append(
                Sample(
                    leaf.signal,
                    value,
                    stamp,
                    message.received,
                    Quality.BAD if bad else quality,
                    misfit(found, leaf.type) if bad else reason,
                )
            )
        fault = ""
        result = None
        if route.results:
            result, fault = self._result(document, stamp)
        return Decoded(
            samples,
            result,
            mark(SAMPLES_MARK, message, timed=timed) if samples else b"",
            mark(EVENTS_MARK, message, timed=timed) if result else b"",
            timed,
            fault,
        )

    def _stamp(self, message: Message, document: Json) -> tuple[int, int, str, bool]:
        """Source time, quality and reason that hold for the whole message, and whether it told its time itself."""
        if self._time_path is not None and document is not MISSING:
            stamp = parse_time(self._time_path.find(document))
            if stamp is not None:
                return stamp, Quality.GOOD, "", True
            return message.received, Quality.UNCERTAIN, NO_TIME, False
        if message.retain:
            return message.received, Quality.UNCERTAIN, OLD_VALUE, False
        return message.received, Quality.GOOD, "", False

    def _result(self, document: Json, stamp: int) -> tuple[QualityResult | None, str]:
        assert self._results is not None
        unit = self._results.unit.find(document)
        passed = CONVERTERS[ValueType.BOOL](self._results.passed.find(document))
        if isinstance(unit, bool) or not isinstance(unit, str | int) or not isinstance(passed, bool):
            return None, "no unit identity, or no verdict"
        defect = self._results.defect.find(document) if self._results.defect else None
        return QualityResult(str(unit), stamp, passed, defect if isinstance(defect, str) else "", self._source), ""

    def _quarantine(self, message: Message, route: _Route, reason: str) -> Decoded:
        """A BAD sample for every signal that the topic feeds."""
        now = message.received
        samples = [Sample(signal, None, now, now, Quality.BAD, reason) for signal in route.signals]
        return Decoded(samples, None, mark(SAMPLES_MARK, message, timed=False) if samples else b"", fault=reason)

    def _route(self, topic: str) -> _Route:
        route = self._routes.get(topic)
        if route is None:
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.clear()
            route = self._routes[topic] = self._make_route(topic)
        return route

    def _make_route(self, topic: str) -> _Route:
        branches: dict[JsonPath, list[_Leaf]] = {}
        whole: list[_Leaf] = []
        for target in self._targets:
            if not matches(target.filter, topic):
                continue
            convert = CONVERTERS[target.type]
            if target.path is None:
                whole.append(_Leaf(None, target.signal, convert, target.type))
                continue
            steps = target.path.steps
            leaf = _Leaf(steps[-1] if steps else None, target.signal, convert, target.type)
            branches.setdefault(JsonPath(steps[:-1]), []).append(leaf)
        results = self._results is not None and matches(self._results.filter, topic)
        return _Route(tuple((path, tuple(leaves)) for path, leaves in branches.items()), tuple(whole), results)


def mark(lane: bytes, message: Message, *, timed: bool) -> bytes:
    """The identity of a message: topic and payload when it carries its time, else the packet identifier too."""
    topic = message.topic.encode()
    head = b"%b%b%d:%d:" % (lane, b"t" if timed else b"p", 0 if timed else message.mid, len(topic))
    return blake2b(head + topic + message.payload, digest_size=MARK_BYTES).digest()
