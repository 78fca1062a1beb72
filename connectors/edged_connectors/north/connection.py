"""One MQTT connection to one broker. A new client object each time, so that nothing is sent again behind our back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edged.errors import AccessRefused, SourceLost, SourceUnreachable
from edged.settings import BrokerSettings, Tls
from edged.supervise import start_task
from edged_connectors.mqtt_client import MqttClient

ANSWER_SECONDS = 10.0
"""For CONNACK, SUBACK and PUBACK. A TLS 1.3 broker that misses our certificate says nothing at all."""
FAREWELL_SECONDS = 2.0
CLOSE_ROUNDS = 50
CLOSE_ROUND_SECONDS = 0.01
MAX_QUEUED_INCOMING = 1000
SUBSCRIBE_QOS = 1
SUBACK_FAILURE = 0x80
REFUSED_CODES = frozenset({4, 5, 134, 135})
"""Bad user name or password, not authorized: MQTT 3.1.1 and MQTT 5."""


class Connection:
    """Open, use, close; never reopened."""

    def __init__(
        self,
        broker: BrokerSettings,
        identifier: str,
        keep_alive_seconds: int,
        will: aiomqtt.Will | None,
        *,
        version: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V311,
        most_queued: int = MAX_QUEUED_INCOMING,
    ) -> None:
        self._broker = broker
        self._identifier = identifier
        self._keep_alive = keep_alive_seconds
        self._will = will
        self._version = version
        self._most_queued = most_queued
        self._client: aiomqtt.Client | None = None
        self._tls: _TlsContext | None = None
        self._alive = False
        self.greeted = False
        """Whether the broker may hold our will: the socket was open, so CONNECT was sent."""

    @property
    def name(self) -> str:
        """The broker as host:port."""
        return f"{self._broker.host}:{self._broker.port}"

    async def open(self) -> None:
        """Raises SourceUnreachable or AccessRefused."""
        client = self._client = await self._build()
        connecting = start_task("sparkplug-connect", client.__aenter__())
        try:
            await asyncio.shield(connecting)
        except MqttConnectError as fault:
            self.greeted = True
            await self._drop(client)
            if _number(fault.rc) in REFUSED_CODES:
                raise AccessRefused(f"broker {self.name}: {fault}") from fault
            raise SourceUnreachable(f"broker {self.name}: {fault}") from fault
        except aiomqtt.MqttError as fault:
            self.greeted = client._client.socket() is not None  # noqa: SLF001 - no public way
            await self._drop(client)
            raise self._explain(fault) from fault
        except asyncio.CancelledError:
            await self._give_up(client, connecting)
            raise
        self._alive = self.greeted = True

    @property
    def waiting(self) -> int:
        """Messages that arrived and were not taken yet."""
        return len(self._opened().messages)

    async def subscribe(self, topics: Sequence[str], *, qos: int = SUBSCRIBE_QOS, as_published: bool = False) -> None:
        """Raises AccessRefused when the broker declines one, SourceLost. MQTT 5 can show retain as it was published."""
        how: Any = SubscribeOptions(qos=qos, retainAsPublished=True) if as_published else qos
        try:
            granted = await self._opened().subscribe([(topic, how) for topic in topics])
        except aiomqtt.MqttError as fault:
            raise self._lost(fault) from fault
        for topic, code in zip(topics, granted, strict=True):
            if _number(code) >= SUBACK_FAILURE:
                raise AccessRefused(f"broker {self.name} declines the subscription to {topic}")

    def send(self, topic: str, payload: bytes) -> None:
        """QoS 0, queued in order without waiting: a `publish` behind it bounds the queue. Raises SourceLost."""
        info = self._opened()._client.publish(topic, payload)  # noqa: SLF001 - aiomqtt waits 0.1 ms for each message
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._lost(aiomqtt.MqttCodeError(info.rc))

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """QoS 0: written to the socket; QoS 1: acknowledged on this connection. Raises SourceLost."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task is not None else 0
        try:
            await self._opened().publish(topic, payload, qos)
        except aiomqtt.MqttError as fault:
            raise self._lost(fault) from fault
        if task is not None and task.cancelling() > cancels:
            raise asyncio.CancelledError  # aiomqtt's wait takes an answer that comes with the cancellation for the end

    async def messages(self) -> AsyncIterator[aiomqtt.Message]:
        """What arrives. Raises SourceLost when the connection breaks off."""
        try:
            async for message in self._opened().messages:
                yield message
        except aiomqtt.MqttError as fault:
            raise self._lost(fault) from fault

    async def close(self, farewell: tuple[str, bytes] | None) -> None:
        """Publishes the farewell (topic, payload) if there is still a connection, and disconnects; never raises."""
        if self._client is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                if self._alive and farewell is not None:
                    await self.publish(*farewell, SUBSCRIBE_QOS)
        except (SourceLost, TimeoutError):
            self._alive = False
        await self._drop(self._client)
        self._client = None

    async def _build(self) -> aiomqtt.Client:
        broker = self._broker
        password = _read_password(broker)
        self._tls = await asyncio.to_thread(_tls_context, broker.tls) if broker.tls else None
        return MqttClient(
            broker.host,
            broker.port,
            username=broker.username,
            password=password,
            identifier=self._identifier,
            protocol=self._version,
            clean_session=None if self._version is aiomqtt.ProtocolVersion.V5 else True,
            keepalive=self._keep_alive,
            timeout=ANSWER_SECONDS,
            max_queued_incoming_messages=self._most_queued,
            tls_context=self._tls,
            will=self._will,
        )

    async def _give_up(self, client: aiomqtt.Client, connecting: asyncio.Task[aiomqtt.Client]) -> None:
        """The thread that opens the socket cannot be interrupted: waits for its few seconds, but not for CONNACK."""
        self.greeted = True
        while not connecting.done() and client._client.socket() is None:  # noqa: ASYNC110, SLF001
            await asyncio.sleep(CLOSE_ROUND_SECONDS)
        connecting.cancel()
        await asyncio.wait({connecting})
        await self._drop(client)

    async def _drop(self, client: aiomqtt.Client) -> None:
        """Sends DISCONNECT if it can and closes the socket; aiomqtt leaves that of a failed connect open."""
        self._alive = False
        inner, lost = client._client, client._disconnected  # noqa: SLF001 - there is no public way
        inner.disconnect()
        for _ in range(CLOSE_ROUNDS):
            if inner.socket() is None:
                break
            await asyncio.sleep(CLOSE_ROUND_SECONDS)
        else:
            return
        if self._tls is not None and self._tls.made is not None:
            self._tls.made.close()
        if lost.done() and not lost.cancelled():
            lost.exception()
        await asyncio.sleep(0)

    def _opened(self) -> aiomqtt.Client:
        assert self._client is not None, "open() comes first"
        return self._client

    def _lost(self, fault: aiomqtt.MqttError) -> SourceLost:
        self._alive = False
        return SourceLost(f"broker {self.name}: {fault}")

    def _explain(self, fault: aiomqtt.MqttError) -> AccessRefused | SourceUnreachable:
        text = f"broker {self.name}: {fault}"
        if "certificate" in str(fault).lower():
            return AccessRefused(text)
        if self._broker.tls and not self._broker.tls.certificate:
            text += " (if it asks for a client certificate, set tls.certificate and tls.key)"
        return SourceUnreachable(text)


class _TlsContext(ssl.SSLContext):
    """Knows the socket it made last: paho forgets to close it when the handshake fails."""

    made: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        self.made = super().wrap_socket(*args, **kwargs)
        return self.made


def _number(code: object) -> int:
    """A reason code of either MQTT version as a number; 0 when there is none."""
    if isinstance(code, ReasonCode):
        return int(code.value)
    return code if isinstance(code, int) else 0


def _read_password(broker: BrokerSettings) -> str | None:
    if broker.password is None:
        return None
    try:
        return broker.password.read()
    except (OSError, KeyError) as fault:
        raise AccessRefused(f"password of broker {broker.host}: {broker.password.place()} is not there") from fault


def _tls_context(tls: Tls) -> _TlsContext:
    """TLS 1.2 or newer, server name and chain verified. Raises AccessRefused for files that do not load."""
    context = _TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if tls.authority:
            context.load_verify_locations(tls.authority)
        else:
            context.load_default_certs()
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as fault:
        raise AccessRefused(f"TLS files {tls.authority}, {tls.certificate}, {tls.key}: {fault}") from fault
    return context
