"""The struct decoder of publish responses against the library's own, and against bytes that are none."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError
from asyncua.ua.uatypes import MAX_OPC_FILETIME
from hypothesis import given
from hypothesis import strategies as st

from edged_connectors.south.opcua_decode import (
    Published,
    UnreadableNotification,
    _decode_any,
    _decode_plain,
    _NotPlain,
    decode,
)
from edged_connectors.south.opcua_values import Change, nanoseconds

NOW = datetime(2026, 3, 4, 5, 6, 7, 89_001, tzinfo=UTC)
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
SUBSCRIPTION, SEQUENCE = 7, 41
NONE = -1

KINDS = ua.VariantType
INTEGERS = {
    KINDS.SByte: (-(2**7), 2**7 - 1),
    KINDS.Byte: (0, 2**8 - 1),
    KINDS.Int16: (-(2**15), 2**15 - 1),
    KINDS.UInt16: (0, 2**16 - 1),
    KINDS.Int32: (-(2**31), 2**31 - 1),
    KINDS.UInt32: (0, 2**32 - 1),
    KINDS.Int64: (-(2**63), 2**63 - 1),
    KINDS.UInt64: (0, 2**64 - 1),
}
moments = st.integers(0, 264_000_000_000_000_000).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))
times = st.none() | moments
plain_variants = st.one_of(
    [st.builds(ua.Variant, st.integers(*limits), st.just(kind)) for kind, limits in INTEGERS.items()]
    + [
        st.booleans().map(lambda value: ua.Variant(value, KINDS.Boolean)),
        st.floats(allow_nan=False).map(lambda value: ua.Variant(value, KINDS.Double)),
        st.floats(allow_nan=False, width=32).map(lambda value: ua.Variant(value, KINDS.Float)),
        (st.none() | st.text(max_size=300)).map(lambda value: ua.Variant(value, KINDS.String)),
        moments.map(lambda value: ua.Variant(value, KINDS.DateTime)),
        st.just(ua.Variant(None, KINDS.Null)),
        st.none(),
    ]
)
other_variants = st.one_of(
    st.lists(st.floats(allow_nan=False), max_size=4).map(lambda value: ua.Variant(value, KINDS.Double)),
    st.binary(max_size=20).map(lambda value: ua.Variant(value, KINDS.ByteString)),
    st.text(max_size=20).map(lambda value: ua.Variant(ua.LocalizedText(value), KINDS.LocalizedText)),
    st.just(ua.Variant(ua.NodeId("a", 2), KINDS.NodeId)),
)


@st.composite
def data_values(draw: st.DrawFn, variants: st.SearchStrategy[Any]) -> ua.DataValue:
    status = draw(st.none() | st.sampled_from([0, 0x480, 0x40900000, 0x80000000]) | st.integers(0, 2**32 - 1))
    data = ua.DataValue(
        StatusCode=None if status is None else ua.StatusCode(status),
        SourceTimestamp=draw(times),
        ServerTimestamp=draw(times),
    )
    data.Value = draw(variants)
    return data


@st.composite
def notifications(draw: st.DrawFn, variants: st.SearchStrategy[Any]) -> ua.DataChangeNotification:
    """Runs of one layout, as servers send them, and single items."""
    items = []
    for data in draw(st.lists(data_values(variants), max_size=6)):
        handles = draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))
        items += [ua.MonitoredItemNotification(handle, data) for handle in handles]
    return ua.DataChangeNotification(items)


@st.composite
def responses(draw: st.DrawFn, variants: st.SearchStrategy[Any]) -> bytes:
    message = ua.NotificationMessage(draw(st.integers(0, 2**32 - 1)), NOW)
    message.NotificationData = draw(st.lists(notifications(variants), max_size=3))
    return encoded(
        ua.PublishResult(
            SubscriptionId=draw(st.integers(0, 2**32 - 1)),
            AvailableSequenceNumbers=draw(st.lists(st.integers(0, 2**32 - 1), max_size=3)),
            MoreNotifications=draw(st.booleans()),
            NotificationMessage=message,
            Results=[ua.StatusCode(code) for code in draw(st.lists(st.integers(0, 2**32 - 1), max_size=3))],
        )
    )


def encoded(result: ua.PublishResult) -> bytes:
    return bytes(struct_to_binary(ua.PublishResponse(Parameters=result)))


def response(*notifications: Any) -> bytes:
    message = ua.NotificationMessage(SEQUENCE, NOW, list(notifications))
    return encoded(ua.PublishResult(SUBSCRIPTION, NotificationMessage=message))


def item(handle: int, value: float) -> ua.MonitoredItemNotification:
    data = ua.DataValue(ua.Variant(value, KINDS.Double), SourceTimestamp=NOW, ServerTimestamp=NOW)
    return ua.MonitoredItemNotification(handle, data)


@given(responses(plain_variants))
def test_plain_values_are_decoded_exactly_as_by_the_library(body: bytes) -> None:
    assert _decode_plain(body) == _decode_any(body)


@given(responses(plain_variants | other_variants))
def test_whatever_comes_is_decoded_exactly_as_by_the_library(body: bytes) -> None:
    assert decode(body) == _decode_any(body)


@given(responses(plain_variants))
def test_values_have_the_library_types(body: bytes) -> None:
    for ours, theirs in zip(_decode_plain(body).changes, _decode_any(body).changes, strict=True):
        assert [type(field) for field in ours] == [type(field) for field in theirs]


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_what_is_not_a_number_comes_through(values: list[float]) -> None:
    items = [ua.MonitoredItemNotification(1, ua.DataValue(ua.Variant(value, KINDS.Float))) for value in values]
    assert repr([change.raw for change in decode(response(ua.DataChangeNotification(items))).changes]) == repr(values)


def test_a_response_carries_subscription_sequence_and_changes() -> None:
    at = nanoseconds(NOW)
    published = decode(response(ua.DataChangeNotification([item(3, 1.5), item(4, 2.5)])))
    changes = [Change(3, 1.5, 0, at, at), Change(4, 2.5, 0, at, at)]
    assert published == Published(SUBSCRIPTION, SEQUENCE, keep_alive=False, changes=changes)


def test_a_keep_alive_has_no_notification() -> None:
    assert decode(response()) == Published(SUBSCRIPTION, SEQUENCE, keep_alive=True, changes=[])


def test_a_change_of_status_ends_the_subscription_after_its_last_data() -> None:
    ended = ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout))
    published = decode(response(ua.DataChangeNotification([item(3, 1.5)]), ended))
    assert (published.ended, [change.raw for change in published.changes]) == ("BadTimeout", [1.5])


def test_a_refused_request_raises_its_status() -> None:
    refusal = ua.PublishResponse()
    refusal.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadNoSubscription)
    with pytest.raises(UaStatusCodeError, match="no subscription"):
        decode(bytes(struct_to_binary(refusal)))


@pytest.mark.parametrize("mask", range(64))
def test_every_encoding_mask_is_read_as_the_specification_writes_it(mask: int) -> None:
    ticks, server_ticks = 133_000_000_000_000_010, 133_000_000_000_000_020
    parts = [(1, "<Bd", (11, 2.5)), (2, "<I", (0x40900000,)), (4, "<q", (ticks,)), (16, "<H", (999,))]
    parts += [(8, "<q", (server_ticks,)), (32, "<H", (999,))]
    one = struct.pack("<IB", 5, mask) + b"".join(
        struct.pack(form, *values) for bit, form, values in parts if mask & bit
    )
    found = _decode_plain(with_items(one * 3, 3)).changes
    unix = nanoseconds(EPOCH)
    expected = Change(
        5,
        2.5 if mask & 1 else None,
        0x40900000 if mask & 2 else 0,
        ticks * 100 + unix if mask & 4 else None,
        server_ticks * 100 + unix if mask & 8 else None,
    )
    assert found == [expected] * 3


def with_items(items: bytes, count: int) -> bytes:
    """A response with hand-made monitored items."""
    empty = struct.pack("<ii", 0, 0)
    body = response(ua.DataChangeNotification([]))
    place = body.index(empty, body.index(struct.pack("<HB", 811, 1)) + 7)
    made = struct.pack("<i", count) + items + struct.pack("<i", NONE)
    return body[: place - 4] + struct.pack("<i", len(made)) + made + body[place + 8 :]


@pytest.mark.parametrize("ticks", [-1, 0, 1, MAX_OPC_FILETIME - 1, MAX_OPC_FILETIME, 2**63 - 1])
def test_times_beyond_all_calendars_are_the_library_s(ticks: int) -> None:
    body = with_items(struct.pack("<IBBdq", 1, 5, 11, 1.0, ticks), 1)
    assert decode(body) == _decode_any(body)


def test_a_text_without_its_bytes_is_no_text() -> None:
    body = with_items(struct.pack("<IBBi", 1, 1, 12, 1000), 1)
    with pytest.raises(_NotPlain):
        _decode_plain(body)
    with pytest.raises(UnreadableNotification):
        decode(body)


@given(responses(st.just(ua.Variant(1.0, KINDS.Double)) | st.just(ua.Variant("text"))), st.data())
def test_bytes_that_are_no_response_are_refused_and_nothing_else(body: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    cut = data.draw(st.booleans())
    wrong = body[:place] + (b"" if cut else data.draw(st.binary(min_size=1, max_size=1)) + body[place + 1 :])
    with suppress(UnreadableNotification, UaStatusCodeError):
        decode(wrong)


@given(st.binary(max_size=100))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(UnreadableNotification):
        decode(noise)
