"""The source's ready-made bytes are what OPC UA says they are: the library and our own decoder read the same."""

from __future__ import annotations

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from bench.notification import Block, Notification, encode_notification, filetime
from edged_connectors.south.opcua_decode import decode

MILLISECONDS = 1_767_225_600_123
TOLD = Notification(
    78, 5, 901, [Block([3, 4], [(7, filetime(MILLISECONDS)), (8, filetime(MILLISECONDS + 100))]), Block([9], [])]
)


def test_the_library_reads_every_item() -> None:
    response = struct_from_binary(ua.PublishResponse, Buffer(encode_notification(TOLD)))
    assert response.ResponseHeader.RequestHandle == 901
    assert response.Parameters.SubscriptionId == 78
    message = response.Parameters.NotificationMessage
    assert message.SequenceNumber == 5
    (data,) = message.NotificationData
    read = [(item.ClientHandle, item.Value.Value.Value) for item in data.MonitoredItems]
    assert read == [(3, 7.0), (3, 8.0), (4, 7.0), (4, 8.0)]
    first = data.MonitoredItems[0].Value
    assert first.StatusCode.is_good()
    assert first.SourceTimestamp == first.ServerTimestamp
    assert first.SourceTimestamp.timestamp() == MILLISECONDS / 1000


def test_our_decoder_reads_the_same() -> None:
    published = decode(encode_notification(TOLD))
    assert (published.subscription, published.sequence, published.keep_alive) == (78, 5, False)
    assert [(change.handle, change.raw, change.code) for change in published.changes] == [
        (3, 7.0, 0),
        (3, 8.0, 0),
        (4, 7.0, 0),
        (4, 8.0, 0),
    ]
    assert {change.source_time for change in published.changes if change.raw == 8.0} == {(MILLISECONDS + 100) * 10**6}
