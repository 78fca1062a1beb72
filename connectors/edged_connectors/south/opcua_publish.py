"""Keeps publish requests at the server, hands on what comes back in its order, and acknowledges it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.uaerrors import BadTimeout, BadTooManyPublishRequests, UaError

from edged.errors import SourceLost
from edged.log import get_logger
from edged_connectors.south.opcua_decode import Published, UnreadableNotification, decode

REQUESTS = 2
"""Kept at the server, so that it need not wait for us between two notifications."""

log = get_logger("opcua")


class Publisher:
    """Serves one subscription until cancelled. `send` waits for the response for as long as it takes."""

    def __init__(
        self,
        subscription: int,
        send: Callable[[ua.PublishRequest], Awaitable[Buffer]],
        deliver: Callable[[Published], None],
    ) -> None:
        self._subscription = subscription
        self._send = send
        self._deliver = deliver
        self._delivered: list[ua.SubscriptionAcknowledgement] = []
        self._requests = REQUESTS
        self._told = False

    async def run(self) -> None:
        """Raises SourceLost when the server refuses to publish, OSError when the connection is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(REQUESTS):
                    group.create_task(self._ask(), name=f"opcua-publish:{self._subscription}:{number}")
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None

    async def _ask(self) -> None:
        while True:
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements, self._delivered = self._delivered, []
            try:
                self._take(bytes(await self._send(request)))
            except BadTimeout:
                continue
            except BadTooManyPublishRequests as fault:
                if self._requests == 1:
                    raise _lost(fault) from fault
                self._requests -= 1
                return
            except UaError as fault:
                raise _lost(fault) from fault

    def _take(self, body: bytes) -> None:
        """Delivers one response; one that cannot be read shows as a jump of the sequence number later."""
        try:
            published = decode(body)
        except UnreadableNotification as fault:
            if not self._told:
                log.warning("notification_unreadable", subscription=self._subscription, fault=str(fault))
                self._told = True
            return
        if published.subscription != self._subscription:
            return
        self._deliver(published)
        if not published.keep_alive:
            self._delivered.append(ua.SubscriptionAcknowledgement(self._subscription, published.sequence))


def _lost(fault: UaError) -> SourceLost:
    return SourceLost(f"the server does not publish any more: {fault}")
