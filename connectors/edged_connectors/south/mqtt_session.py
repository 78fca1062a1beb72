"""One MQTT connection of a lasting session: messages are kept until taken, and acknowledged only by hand."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from aiomqtt.exceptions import MqttConnectError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edged.clock import Clock
from edged.errors import AccessRefused, SourceLost, SourceUnreachable
from edged.log import get_logger
from edged.settings import BrokerSettings, Secret
from edged_connectors.mqtt_client import MqttClient
from edged_connectors.south.mqtt_messages import Message

REFUSALS = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Client identifier, user or password, not authorized, banned, authentication method (MQTT 5, 2.4)."""
FAILED_FROM = 0x80
"""Reason codes from here on mean failure."""
RETAINED_FOR_NEW_SUBSCRIPTIONS = 1
CLOSE_SECONDS = 2.0
UNACKNOWLEDGED_KEPT = 20_000
"""QoS 0 messages beyond so many waiting ones are dropped and counted; QoS 1 is bounded by the broker."""

log = get_logger("mqtt")

QUIET = logging.getLogger("paho.ingest")
QUIET.setLevel(logging.CRITICAL)
"""Every fault is raised as one of ours instead of being logged by the library."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How the session is kept at the broker."""

    broker: BrokerSettings
    version: aiomqtt.ProtocolVersion
    client_id: str
    keep_alive_seconds: int
    connect_timeout_seconds: float
    session_expiry_seconds: int
    receive_maximum: int


class MqttSession(MqttClient):
    """Used for one connection only: identifiers of one connection never reach another."""

    def __init__(self, options: SessionOptions, clock: Clock) -> None:
        five = options.version is aiomqtt.ProtocolVersion.V5
        broker = options.broker
        super().__init__(
            broker.host,
            broker.port,
            username=broker.username,
            password=_secret(broker.password),
            identifier=options.client_id,
            protocol=options.version,
            clean_session=None if five else False,
            clean_start=False if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            timeout=options.connect_timeout_seconds,
            keepalive=options.keep_alive_seconds,
            properties=_connect_properties(options) if five else None,
            tls_params=_tls(broker),
            logger=QUIET,
        )
        self._client.manual_ack_set(True)
        self._client.connect_timeout = options.connect_timeout_seconds
        self._options = options
        self._clock = clock
        self._inbox: list[Message] = []
        self._woken = asyncio.Event()
        self._hung_up = False
        self.session_present = False
        self.dropped = 0

    async def open(self) -> None:
        """Raises AccessRefused or SourceUnreachable."""
        self._disconnected.add_done_callback(self._wake)
        opened = False
        try:
            await self.__aenter__()
            opened = True
        except MqttConnectError as fault:
            kind = AccessRefused if _code(fault.rc) in REFUSALS else SourceUnreachable
            raise kind(f"{self._place()}: {fault}") from fault
        except MqttError as fault:
            if self._hung_up and self._options.broker.tls is not None:
                raise AccessRefused(f"{self._place()}: {fault}; it may not accept our certificate") from fault
            raise SourceUnreachable(f"{self._place()}: {fault}") from fault
        finally:
            if not opened:
                self._drop()

    async def subscribe_all(self, filters: Sequence[str]) -> list[str]:
        """Subscribes with QoS 1; for each filter the reason of its refusal, or nothing. Raises SourceUnreachable."""
        if not filters:
            return []
        five = self._options.version is aiomqtt.ProtocolVersion.V5
        wanted: Any = [
            (one, SubscribeOptions(qos=1, retainHandling=RETAINED_FOR_NEW_SUBSCRIPTIONS) if five else 1)
            for one in filters
        ]
        try:
            codes = await self.subscribe(wanted)
        except MqttError as fault:
            raise SourceUnreachable(f"{self._place()}: {fault}") from fault
        return [f"subscription refused: {code}" if _code(code) >= FAILED_FROM else "" for code in codes]

    def send(self, topic: str, payload: bytes) -> None:
        """Publishes with QoS 0, without waiting, if the connection still stands."""
        if not self._disconnected.done():
            self._client.publish(topic, payload)

    async def arrival(self, seconds: float) -> list[Message]:
        """What arrived since the last call; waits for it for a while. Raises SourceLost when all is taken."""
        if not self._inbox and not self._disconnected.done():
            self._woken.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return []
        messages, self._inbox = self._inbox, []
        if not messages and self._disconnected.done():
            raise SourceLost(f"{self._place()}: {self._disconnected.exception() or 'disconnected'}")
        return messages

    def acknowledge(self, mids: Sequence[int]) -> None:
        """Sends the PUBACKs, in order, if the connection still stands."""
        if self._disconnected.done():
            return
        for mid in mids:
            self._client.ack(mid, 1)

    async def leave(self) -> None:
        """Disconnects in good order; never raises, never hangs."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.__aexit__(None, None, None)
        except (MqttError, TimeoutError):
            log.info("disconnect_unanswered", broker=self._place())
        finally:
            self._drop()
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()

    def _client_connect(self) -> None:
        """Runs in a thread. Raises AccessRefused when TLS cannot be agreed on."""
        try:
            self._set_tls_params()
        except (OSError, ValueError) as fault:
            raise AccessRefused(f"{self._place()}: TLS files: {fault}") from fault
        try:
            super()._client_connect()
        except ssl.SSLError as fault:
            raise AccessRefused(f"{self._place()}: TLS: {fault.reason or fault}") from fault

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            self._hung_up = True
            self._connected.set_exception(MqttError("the broker closed the connection without an answer"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        if message.qos == 0 and len(self._inbox) >= UNACKNOWLEDGED_KEPT:
            self.dropped += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._inbox.append(
            Message(
                topic, bytes(message.payload), self._clock.now(), message.qos, message.mid, message.dup, message.retain
            )
        )
        self._woken.set()

    def _wake(self, _: asyncio.Future[None]) -> None:
        if not self._connected.done():
            self._connected.set_exception(MqttError("the connection broke before the broker answered"))
        self._woken.set()

    def _drop(self) -> None:
        """Lets go of a connection that never stood, or does not end; a connecting thread finds nothing to call."""
        self._client.on_socket_open = None
        self._client.on_socket_register_write = None
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to end what never began
        if self._misc_task is not None:
            self._misc_task.cancel()

    def _place(self) -> str:
        return f"MQTT broker {self._options.broker.host}:{self._options.broker.port}"


def _code(code: int | ReasonCode | None) -> int:
    return code.value if isinstance(code, ReasonCode) else int(code or 0)


def _secret(secret: Secret | None) -> str | None:
    if secret is None:
        return None
    try:
        return secret.read()
    except (OSError, KeyError) as fault:
        raise AccessRefused(f"the broker's password is not at {secret.place()}") from fault


def _tls(broker: BrokerSettings) -> aiomqtt.TLSParameters | None:
    if broker.tls is None:
        return None
    authority, certificate, key = (
        None if path is None else str(path) for path in (broker.tls.authority, broker.tls.certificate, broker.tls.key)
    )
    return aiomqtt.TLSParameters(ca_certs=authority, certfile=certificate, keyfile=key)


def _connect_properties(options: SessionOptions) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = options.session_expiry_seconds
    properties.ReceiveMaximum = options.receive_maximum
    return properties
