"""One node's way through a span of its history, page by page, and what the span turns out to lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncua import ua

from edged.ports import Span
from edged_connectors.south.opcua_values import Change, change_of


class Course:
    """Stands at `position` (source time, ns UTC); `unfinished` says that there may be more without a `point`."""

    def __init__(self, span: Span, node: ua.NodeId, server_started: int | None) -> None:
        self.span = span
        self.node = node
        self.position = span.after
        self.point: bytes | None = None
        self.unfinished = False
        self.reaches_back = False
        self._server_started = server_started
        self._earliest = span.until
        self._reached = span.after
        self._before_start = span.after
        self._begun = False
        self._refused = False

    def begin(self, start: int) -> None:
        """A request begins there."""
        self.position = start
        self.point = None
        self._begun = False
        self.unfinished = False

    def take(self, result: Any, most: int) -> list[Change]:
        """The changes of one page that are new, at most `most` were asked for. Without any progress it is the last."""
        self.point = result.ContinuationPoint or None
        self.unfinished = False
        if _is_refused(result):
            self._give_up()
            return []
        page = [change_of(0, value) for value in values_of(result)]
        times = [change.source_time for change in page if change.source_time is not None]
        if len(times) < len(page):
            self._give_up()
            return []
        self.unfinished = len(page) >= most and self.point is None
        moves = bool(times) and (times[-1] > self.position or (self.point is not None and not self._begun))
        self._begun = True
        if (self.unfinished or self.point) and not moves:
            self._give_up()
        self._note(times)
        if times:
            self.position = max(self.position, times[-1])
        new = [change for change in page if change.source_time is not None and change.source_time > self._reached]
        self._reached = max(self._reached, self.position)
        return new

    def holes(self) -> list[Span]:
        """What the history does not hold of the span: its beginning, its end, or the time while the server was down."""
        signal, after, until = self.span
        found = []
        if self._refused:
            found.append(Span(signal, self._reached, until))
        if not self.reaches_back:
            found.append(Span(signal, after, self._earliest))
        if self._server_started is not None and after < self._server_started < until:
            found.append(Span(signal, self._before_start, self._server_started))
        return found

    def _note(self, times: Sequence[int]) -> None:
        for time in times:
            if time <= self.span.after:
                self.reaches_back = True
            elif time < self._earliest:
                self._earliest = time
            if self._server_started is not None and self._before_start < time < self._server_started:
                self._before_start = time

    def _give_up(self) -> None:
        self._refused = True
        self.unfinished = False
        self.point = None


def values_of(result: Any) -> Sequence[ua.DataValue]:
    """The values of one page."""
    if _is_refused(result) or not isinstance(result.HistoryData, ua.HistoryData):
        return ()
    return result.HistoryData.DataValues or ()


def _is_refused(result: Any) -> bool:
    return not result.StatusCode.is_good() and result.StatusCode.value != ua.StatusCodes.BadNoData
