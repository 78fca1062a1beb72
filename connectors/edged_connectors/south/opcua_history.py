"""A server's history (HistoryRead, raw values): read in small calls beside the live data, and how far it reaches."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edged.clock import Clock
from edged.errors import SourceLost
from edged.log import get_logger
from edged.ports import Recalled, Span
from edged.types import NANOSECONDS_PER_SECOND, Sample
from edged_connectors.south.opcua_course import Course, values_of
from edged_connectors.south.opcua_decode import WRONG_BYTES
from edged_connectors.south.opcua_items import Item, sample_of
from edged_connectors.south.opcua_limits import Service
from edged_connectors.south.opcua_session import Session
from edged_connectors.south.opcua_values import EPOCH, moment, nanoseconds

SETTLE_SECONDS = 2.0
"""A server may report a value before its history holds it."""
PAUSE_SECONDS = 0.02
"""Between two calls, so that live data never waits for more than one."""
VALUES_PER_CALL = 2000
"""Decoding them takes some 25 ms."""
NODES_PER_CALL = 50
TOGETHER_NANOSECONDS = 10 * NANOSECONDS_PER_SECOND
"""One call has one period for all its nodes: those that begin further apart are asked for one after the other."""

HISTORY_BIT = 1 << ua.AccessLevel.HistoryRead
START_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)
SESSION_OVER = frozenset(
    {
        ua.StatusCodes.BadSessionIdInvalid,
        ua.StatusCodes.BadSessionClosed,
        ua.StatusCodes.BadSessionNotActivated,
        ua.StatusCodes.BadSecureChannelIdInvalid,
        ua.StatusCodes.BadSecureChannelClosed,
        ua.StatusCodes.BadConnectionClosed,
        ua.StatusCodes.BadShutdown,
        ua.StatusCodes.BadServerHalted,
        ua.StatusCodes.BadTimeout,
    }
)

log = get_logger("opcua")


class ServerHistory:
    """Reads spans of the past over one session."""

    def __init__(self, session: Session, items: Mapping[str, Item], clock: Clock) -> None:
        self._session = session
        self._items = items
        self._clock = clock
        self._nodes_per_call = NODES_PER_CALL

    async def recall(self, spans: Sequence[Span]) -> AsyncGenerator[Recalled, None]:
        """Every span's samples that the server kept, and what it did not keep as holes. Raises SourceLost."""
        courses = await self._offered(spans)
        known = {course.span.signal for course in courses}
        yield Recalled(holes=[span for span in spans if span.signal not in known])
        if courses:
            await self._clock.sleep(SETTLE_SECONDS)
        while courses:
            group = self._next(courses)
            async for samples in self._read(group):
                yield Recalled(samples)
                await self._clock.sleep(PAUSE_SECONDS)
            done = [course for course in group if not course.unfinished]
            await self._look_back([course for course in done if not course.reaches_back])
            yield Recalled(holes=[hole for course in done for hole in course.holes()])
            courses += [course for course in group if course.unfinished]

    async def _offered(self, spans: Sequence[Span]) -> deque[Course]:
        """Those whose nodes have a history that is being written and that we may read, oldest first."""
        found = [(span, self._session.resolve(self._items[span.signal].reference)) for span in spans]
        known = [(span, node) for span, node in found if node is not None]
        nodes = [node for _, node in known]
        levels = await self._session.read(nodes, ua.AttributeIds.UserAccessLevel)
        written = await self._session.read(nodes, ua.AttributeIds.Historizing)
        if not any(map(_offers_history, levels, written)):
            return deque()
        (started,) = await self._session.read([START_TIME])
        since = nanoseconds(started.Value.Value) if isinstance(_raw(started), datetime) else None
        offers = zip(known, levels, written, strict=True)
        courses = [Course(span, node, since) for (span, node), level, now in offers if _offers_history(level, now)]
        return deque(sorted(courses, key=lambda course: course.position))

    def _next(self, courses: deque[Course]) -> list[Course]:
        """Takes off the courses that the next call is for."""
        most = min(self._session.limits.of(Service.HISTORY), self._nodes_per_call)
        near = courses[0].position + TOGETHER_NANOSECONDS
        group: list[Course] = []
        while courses and len(group) < most and courses[0].position <= near:
            group.append(courses.popleft())
        return group

    async def _read(self, group: Sequence[Course]) -> AsyncGenerator[list[Sample], None]:
        """The samples of the group from where it stands, continuation points followed."""
        start = min(course.position for course in group)
        until = max(course.span.until for course in group)
        values = max(1, VALUES_PER_CALL // len(group))
        details = ua.ReadRawModifiedDetails(False, moment(start), moment(until), values, ReturnBounds=False)
        for course in group:
            course.begin(start)
        left = group
        while left:
            results = await self._call(details, left)
            received = self._clock.now()
            samples: list[Sample] = []
            for course, result in zip(left, results, strict=True):
                if result.StatusCode.value == ua.StatusCodes.BadNoContinuationPoints and len(left) > 1:
                    self._nodes_per_call = max(1, len(left) // 2)
                    course.unfinished = True
                    course.point = None
                    continue
                item = self._items[course.span.signal]
                changes = course.take(result, values)
                samples += [sample_of(item.path, item.convert, change, received) for change in changes]
            yield samples
            left = [course for course in left if course.point]

    async def _look_back(self, courses: Sequence[Course]) -> None:
        """Whether the history of these begins before their spans do: else it may have lost the beginning."""
        if not courses:
            return
        oldest = min(course.span.after for course in courses)
        details = ua.ReadRawModifiedDetails(False, moment(oldest), EPOCH, 1, ReturnBounds=False)
        for course in courses:
            course.point = None
        for course, result in zip(courses, await self._call(details, courses), strict=True):
            course.reaches_back = bool(values_of(result))

    async def _call(self, details: ua.ReadRawModifiedDetails, courses: Sequence[Course]) -> Sequence[Any]:
        """A result per course; a server that refuses the service altogether refuses each. Raises SourceLost."""
        wanted = [ua.HistoryReadValueId(course.node, ContinuationPoint=course.point) for course in courses]
        try:
            results = await self._session.read_history(details, wanted)
            if len(results) == len(wanted):
                return results
            status, told = ua.StatusCode(ua.StatusCodes.BadUnexpectedError), "a wrong number of results"
        except UaStatusCodeError as fault:
            if fault.code in SESSION_OVER:
                raise SourceLost(f"the session ended while its history was read: {fault}") from fault
            status, told = ua.StatusCode(fault.code), str(fault)
        except (UaError, OSError) as fault:
            raise SourceLost(f"the connection broke while history was read: {fault}") from fault
        except WRONG_BYTES as fault:
            status, told = ua.StatusCode(ua.StatusCodes.BadDecodingError), str(fault)
        log.warning("history_refused", fault=told)
        return [ua.HistoryReadResult(status) for _ in courses]


def _offers_history(level: ua.DataValue, written: ua.DataValue) -> bool:
    may = _raw(level)
    return isinstance(may, int) and bool(may & HISTORY_BIT) and _raw(written) is not False


def _raw(data: ua.DataValue) -> Any:
    return data.Value.Value if data.Value is not None else None
