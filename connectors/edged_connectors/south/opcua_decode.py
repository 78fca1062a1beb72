"""Publish responses from their bytes (OPC UA part 6, 5.2): plain values by struct, a run of equal layout at a time.

Whatever is not plain data changes (status changes, events, arrays, diagnostics) is left to the library's decoder, which
takes ten times as long per value and gives the same. Only picoseconds differ: it looks for them in the wrong place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError
from asyncua.ua.uatypes import MAX_OPC_FILETIME

from edged.errors import EdgedError
from edged_connectors.south.opcua_values import NANOSECONDS_PER_MICROSECOND, Change, change_of, nanoseconds

WRONG_BYTES = (
    UaError,
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What the library raises for bytes that are no publish response."""

FOUR_BYTE_NODE_ID = bytes([1, 0])
RESPONSE = struct.Struct("<4sqIIBi3s")
"""Type id; of the response header: time, request handle, result, diagnostics, count of texts, additional header."""
RESPONSE_ID = FOUR_BYTE_NODE_ID + struct.pack("<H", ua.ObjectIds.PublishResponse_Encoding_DefaultBinary)
NO_ADDITIONAL_HEADER = bytes(3)
SUBSCRIPTION = struct.Struct("<Ii")
"""Subscription id and the count of available sequence numbers."""
MESSAGE = struct.Struct("<?Iqi")
"""More notifications; sequence number, publish time and the count of notifications."""
NOTIFICATION = struct.Struct("<5sii")
"""Type id and encoding; length of the body; the count of monitored items, with which the body begins."""
BODY_AT = 9
DATA_CHANGE_ID = FOUR_BYTE_NODE_ID + struct.pack("<H", ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary)
DATA_CHANGE = DATA_CHANGE_ID + bytes([1])
HANDLE = struct.Struct("<I")
COUNT = struct.Struct("<i")
COUNTED_BYTES = 4
"""Of a sequence number and of a status code."""

VALUE, STATUS, SOURCE_TIME, SERVER_TIME, SOURCE_PICOSECONDS, SERVER_PICOSECONDS = (1 << bit for bit in range(6))
"""The encoding mask of a data value (part 6, 5.2.2.17)."""
MASK_END = 1 << 6
TAIL = (
    (STATUS, "I"),
    (SOURCE_TIME, "q"),
    (SOURCE_PICOSECONDS, "2x"),
    (SERVER_TIME, "q"),
    (SERVER_PICOSECONDS, "2x"),
)
"""What follows the value, in the order of the wire."""
MASK_AT, KIND_AT, LENGTH_AT, TEXT_AT = 4, 5, 6, 10
"""In a monitored item with a value, whose handle comes first."""
NULL, TEXT, MOMENT = 0, 12, 13
SCALARS = {NULL: "", **dict(enumerate("?bBhHiIqQfd", 1)), MOMENT: "q"}
"""Built-in types from Boolean to Double (part 6, table 1), of fixed length."""

TICKS_PER_MICROSECOND = 10
"""Times on the wire are 100 ns since 1601; those outside the years 1601 to 9999 are for the library to cut."""
UNIX_EPOCH = -nanoseconds(ua.get_win_epoch())

Columns: TypeAlias = Iterator[Sequence[Any]]


class UnreadableNotification(EdgedError):
    """The server sent a notification that cannot be read: what it carried is lost and becomes a gap."""


class Published(NamedTuple):
    """One publish response. A keep-alive takes no sequence number. `ended` says why there is no subscription left."""

    subscription: int
    sequence: int
    keep_alive: bool
    changes: Sequence[Change] = ()
    ended: str = ""


class _NotPlain(Exception):
    """The library has to decode it."""


def decode(body: bytes) -> Published:
    """The response in a message body. Raises UnreadableNotification, or UaStatusCodeError for a refused request."""
    try:
        return _decode_plain(body)
    except (_NotPlain, struct.error, IndexError):
        return _decode_any(body)


def _decode_any(body: bytes) -> Published:
    try:
        response = struct_from_binary(ua.PublishResponse, Buffer(body))
        result, status = response.Parameters, response.ResponseHeader.ServiceResult
        message = result.NotificationMessage
        notifications = message.NotificationData or ()
        changes: list[Change] = []
        ended = ""
        for notification in notifications:
            if isinstance(notification, ua.DataChangeNotification):
                changes += [change_of(item.ClientHandle, item.Value) for item in notification.MonitoredItems or ()]
            elif isinstance(notification, ua.StatusChangeNotification):
                ended = notification.Status.name
    except WRONG_BYTES as fault:
        raise UnreadableNotification(f"{type(fault).__name__}: {fault}") from fault
    status.check()
    return Published(result.SubscriptionId, message.SequenceNumber, not notifications, changes, ended)


def _decode_plain(body: bytes) -> Published:
    type_id, _, _, result, diagnostics, texts, header = RESPONSE.unpack_from(body)
    if type_id != RESPONSE_ID or result or diagnostics or texts > 0 or header != NO_ADDITIONAL_HEADER:
        raise _NotPlain
    subscription, available = SUBSCRIPTION.unpack_from(body, RESPONSE.size)
    place = RESPONSE.size + SUBSCRIPTION.size + _length(available)
    _, sequence, _, notifications = MESSAGE.unpack_from(body, place)
    place += MESSAGE.size
    changes: list[Change] = []
    for _ in range(notifications):
        place = _read_notification(body, place, changes)
    (results,) = COUNT.unpack_from(body, place)
    place += COUNT.size + _length(results)
    if COUNT.unpack_from(body, place)[0] > 0 or place + COUNT.size != len(body):
        raise _NotPlain
    return Published(subscription, sequence, notifications <= 0, changes)


def _length(count: int) -> int:
    """Bytes of an array of four-byte numbers; -1 stands for none."""
    if count < -1:
        raise _NotPlain
    return max(count, 0) * COUNTED_BYTES


def _read_notification(body: bytes, place: int, changes: list[Change]) -> int:
    """Appends the changes of one notification; returns where it ends."""
    kind, length, items = NOTIFICATION.unpack_from(body, place)
    if kind != DATA_CHANGE:
        raise _NotPlain
    end: int = place + BODY_AT + length
    place += NOTIFICATION.size
    while items > 0:
        count, place = _read_run(body, place, items, changes)
        items -= count
    if COUNT.unpack_from(body, place)[0] > 0 or place + COUNT.size != end:
        raise _NotPlain
    return end


def _read_run(body: bytes, place: int, items: int, changes: list[Change]) -> tuple[int, int]:
    """Appends the changes that follow in one layout, at least one and at most `items`; their count and their end."""
    mask = body[place + MASK_AT]
    kind = body[place + KIND_AT] if mask & VALUE else NULL
    if kind == TEXT:
        return 1, _read_text(body, place, changes)
    layout = _layout(mask, kind)
    size = layout.size
    count = min(items, (len(body) - place) // size)
    count = _leading(body[place + MASK_AT : place + count * size : size], mask)
    if mask & VALUE:
        count = _leading(body[place + KIND_AT : place + count * size : size], kind)
    if count == 0:
        raise _NotPlain
    end = place + count * size
    columns = zip(*layout.iter_unpack(body[place:end]), strict=True)
    changes += _changes(columns, count, mask, kind)
    return count, end


def _read_text(body: bytes, place: int, changes: list[Change]) -> int:
    """Appends one change whose value is a text; returns where it ends."""
    mask, (length,) = body[place + MASK_AT], COUNT.unpack_from(body, place + LENGTH_AT)
    end: int = place + TEXT_AT + max(length, 0)
    if length < -1 or end > len(body):
        raise _NotPlain
    text = None if length < 0 else body[place + TEXT_AT : end].decode(errors="surrogateescape")
    without = _layout(mask & ~VALUE, NULL)
    rest_at = end - KIND_AT  # as if handle and mask stood just before what follows the text
    row = (*HANDLE.unpack_from(body, place), text, *without.unpack_from(body, rest_at)[1:])
    changes += _changes(zip(row, strict=True), 1, mask, TEXT)
    return rest_at + without.size


@lru_cache(maxsize=1024)
def _layout(mask: int, kind: int) -> struct.Struct:
    """A monitored item: handle, mask and, where the mask says so, type and value; then what the mask says."""
    if mask >= MASK_END or kind not in SCALARS:
        raise _NotPlain
    value = f"x{SCALARS[kind]}" if mask & VALUE else ""
    return struct.Struct(f"<Ix{value}{''.join(form for bit, form in TAIL if mask & bit)}")


def _leading(column: bytes, byte: int) -> int:
    """How often the byte stands at the beginning."""
    return len(column) - len(column.lstrip(bytes([byte])))


def _changes(columns: Columns, count: int, mask: int, kind: int) -> Iterator[Change]:
    """Rows from columns; what the layout lacks is filled in."""
    handles = next(columns)
    values: Iterable[Any] = repeat(None, count) if kind == NULL else next(columns)
    if kind == MOMENT:
        values = map(ua.win_epoch_to_datetime, values)
    codes: Iterable[int] = next(columns) if mask & STATUS else repeat(0, count)
    sources: Iterable[int | None] = _times(next(columns)) if mask & SOURCE_TIME else repeat(None, count)
    servers: Iterable[int | None] = _times(next(columns)) if mask & SERVER_TIME else repeat(None, count)
    return map(_new_change, zip(handles, values, codes, sources, servers, strict=True))


def _times(ticks: Sequence[int]) -> list[int]:
    """Nanoseconds UTC, cut to microseconds as the library does."""
    if min(ticks) < 0 or max(ticks) >= MAX_OPC_FILETIME:
        raise _NotPlain
    return [tick // TICKS_PER_MICROSECOND * NANOSECONDS_PER_MICROSECOND - UNIX_EPOCH for tick in ticks]


_new_change: Any = partial(tuple.__new__, Change)
