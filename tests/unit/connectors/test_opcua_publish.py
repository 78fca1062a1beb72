"""Publish requests: how many wait at the server, what is acknowledged, what ends it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from edged.errors import SourceLost
from edged.supervise import start_task
from edged_connectors.south.opcua_decode import Published
from edged_connectors.south.opcua_publish import REQUESTS, Publisher

SUBSCRIPTION = 7


class Server:
    """Holds publish requests until it is told to answer the oldest."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[list[int], asyncio.Future[Buffer]]] = deque()
        self.delivered: list[Published] = []
        publisher = Publisher(SUBSCRIPTION, self._receive, self.delivered.append)
        self.task = start_task("publisher", publisher.run())

    async def _receive(self, request: ua.PublishRequest) -> Buffer:
        answer: asyncio.Future[Buffer] = asyncio.get_running_loop().create_future()
        acknowledged = [ack.SequenceNumber for ack in request.Parameters.SubscriptionAcknowledgements]
        self.waiting.append((acknowledged, answer))
        return await answer

    def publish(self, sequence: int, *, subscription: int = SUBSCRIPTION, keep_alive: bool = False) -> list[int]:
        """Answers the oldest request; returns what it acknowledged."""
        data = [] if keep_alive else [ua.DataChangeNotification([])]
        message = ua.NotificationMessage(sequence, NotificationData=data)
        result = ua.PublishResult(subscription, NotificationMessage=message)
        return self.answer(bytes(struct_to_binary(ua.PublishResponse(Parameters=result))))

    def answer(self, body: bytes) -> list[int]:
        acknowledged, answer = self.waiting.popleft()
        answer.set_result(Buffer(body))
        return acknowledged

    def refuse(self, fault: Exception) -> None:
        self.waiting.popleft()[1].set_exception(fault)

    async def refuse_with(self, code: int) -> None:
        self.refuse(UaStatusCodeError(code))
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await settle()
    yield made
    made.task.cancel()
    await asyncio.wait({made.task})


async def test_requests_wait_at_the_server_at_all_times(server: Server) -> None:
    assert len(server.waiting) == REQUESTS
    for sequence in range(1, 4):
        server.publish(sequence)
        await settle()
        assert len(server.waiting) == REQUESTS


async def test_data_is_acknowledged_with_the_next_request_and_once(server: Server) -> None:
    seen: list[Any] = []
    for sequence in range(1, 6):
        seen.append(server.publish(sequence))
        await settle()
    assert seen == [[], [], [1], [2], [3]]


async def test_what_comes_at_once_is_delivered_in_the_order_of_the_wire(server: Server) -> None:
    server.publish(1)
    server.publish(2)
    await settle()
    server.publish(3)
    server.publish(4)
    await settle()
    assert [published.sequence for published in server.delivered] == [1, 2, 3, 4]


async def test_keep_alives_are_delivered_and_not_acknowledged(server: Server) -> None:
    seen = []
    for _ in range(4):
        seen.append(server.publish(1, keep_alive=True))
        await settle()
    assert [published.keep_alive for published in server.delivered] == [True] * 4
    assert seen == [[]] * 4


async def test_a_request_that_timed_out_at_the_server_is_sent_again(server: Server) -> None:
    await server.refuse_with(ua.StatusCodes.BadTimeout)
    assert len(server.waiting) == REQUESTS
    server.publish(1)
    await settle()
    assert len(server.delivered) == 1


async def test_a_server_that_takes_one_request_at_a_time_is_served_so(server: Server) -> None:
    await server.refuse_with(ua.StatusCodes.BadTooManyPublishRequests)
    for sequence in range(1, 4):
        assert len(server.waiting) == 1
        server.publish(sequence)
        await settle()
    assert [published.sequence for published in server.delivered] == [1, 2, 3]


async def test_a_server_that_takes_no_request_at_all_is_lost(server: Server) -> None:
    for _ in range(REQUESTS):
        await server.refuse_with(ua.StatusCodes.BadTooManyPublishRequests)
    with pytest.raises(SourceLost, match="BadTooManyPublishRequests"):
        await server.task


async def test_a_subscription_that_is_gone_is_a_loss(server: Server) -> None:
    await server.refuse_with(ua.StatusCodes.BadNoSubscription)
    with pytest.raises(SourceLost, match="BadNoSubscription"):
        await server.task


async def test_a_connection_that_is_gone_is_the_caller_s_to_tell(server: Server) -> None:
    for _ in range(REQUESTS):
        server.refuse(ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        await server.task


async def test_what_cannot_be_read_is_left_out_and_not_acknowledged(server: Server) -> None:
    seen = [server.answer(b"noise")]
    await settle()
    for sequence in range(2, 5):
        seen.append(server.publish(sequence))
        await settle()
    assert [published.sequence for published in server.delivered] == [2, 3, 4]
    assert seen == [[], [], [], [2]]


async def test_another_subscription_s_data_is_not_ours(server: Server) -> None:
    seen = []
    for sequence in range(1, 4):
        seen.append(server.publish(sequence, subscription=SUBSCRIPTION + 1))
        await settle()
    assert server.delivered == []
    assert seen == [[]] * 3
