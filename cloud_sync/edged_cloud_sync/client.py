"""The conversation with the hub: one connection, one POST at a time, every answer that is not good as a typed fault."""

from __future__ import annotations

import io
import ssl
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from edged.errors import AccessRefused, ConfigError, HubUnavailable
from edged.outside import loopback
from edged.settings import HubSettings, Tls
from edged_cloud_sync.wire import CONTENT_TYPE, INGEST_PATH, Answer, Envelope, WireError, decode_answer, encode_envelope
from edged_cloud_sync.wire_commands import ACCEPTS_COMMANDS, ACCEPTS_HEADER

STREAMED_BYTES = 1024 * 1024
"""A body beyond this is written in pieces, so that the loop can breathe."""
RETRY_SECONDS = 1.0
RETRY_CAP_SECONDS = 60.0
RETRY_DIGITS = 5
ERROR_TEXT_LENGTH = 200


class HubBusy(HubUnavailable):
    """The hub is overloaded or cannot write: values stay in the outbox and are sent again after its wish."""

    def __init__(self, seconds: float, sentence: str) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class PostTooLarge(HubUnavailable):
    """The hub refuses a POST of this size: smaller ones are sent."""


class NotUnderstood(HubUnavailable):
    """The hub does not understand what was sent: it is older than this edged, or no hub."""


class HubClient:
    """An async context manager around one session. It reads the secret when it is made, so a rotated one works."""

    def __init__(self, settings: HubSettings, node: str) -> None:
        """Raises AccessRefused when there is no secret to show, or no certificate."""
        self._settings = settings
        self._node = node
        self._url = settings.url.rstrip("/") + INGEST_PATH
        self._session = aiohttp.ClientSession(
            headers={
                "Authorization": f"Bearer {self._secret()}",
                "Content-Type": CONTENT_TYPE,
                ACCEPTS_HEADER: ACCEPTS_COMMANDS,
            },
            connector=aiohttp.TCPConnector(ssl=_context(settings.tls) if settings.tls else True, limit=1),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_seconds),
        )

    async def __aenter__(self) -> Self:
        return self

    async def post(self, envelope: Envelope) -> Answer:
        """The hub's answer after its commit.

        Raises AccessRefused, NotUnderstood, PostTooLarge, HubBusy or HubUnavailable.
        """
        body = encode_envelope(envelope)
        payload = body if len(body) < STREAMED_BYTES else io.BytesIO(body)
        try:
            async with self._session.post(self._url, data=payload, allow_redirects=False) as response:
                return await self._read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            reason = str(fault) or f"no answer within {self._settings.timeout_seconds:g} s"
            raise HubUnavailable(f"{self._settings.url}: {reason}") from fault

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def _secret(self) -> str:
        """The secret from its place. Raises AccessRefused, which says how to make one."""
        place = self._settings.secret.place()
        try:
            secret = self._settings.secret.read()
        except KeyError:
            reason = "is not set"
        except OSError as fault:
            reason = str(fault.strerror)
        except ValueError:
            reason = "is not text"
        else:
            if secret and secret.isascii() and secret.isprintable() and " " not in secret:
                return secret
            reason = "is not one line with a secret"
        raise AccessRefused(f"hub.secret: {place}: {reason}; `edged-hub enroll {self._node}` makes a secret")

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        """The answer, or the fault that the status stands for."""
        if response.status == 200:
            try:
                return decode_answer(await response.read())
            except WireError as fault:
                raise HubUnavailable(f"{self._settings.url} does not answer like a hub: {fault}") from fault
        text = " ".join((await response.text(errors="replace")).split())[:ERROR_TEXT_LENGTH]
        sentence = f"{self._settings.url}: {response.status} {text}"
        if response.status in (401, 403):
            raise AccessRefused(
                f"the hub refused the identity {self._node!r} ({sentence}): run `edged-hub enroll {self._node}`"
                f" on the hub and put the secret into {self._settings.secret.place()}"
            )
        if response.status == 400:
            raise NotUnderstood(sentence)
        if response.status == 413:
            raise PostTooLarge(sentence)
        if response.status in (429, 503):
            raise HubBusy(_retry_seconds(response.headers.get("Retry-After", "")), sentence)
        raise HubUnavailable(sentence)


def check_address(settings: HubSettings) -> None:
    """Raises ConfigError for what is no address, and for plain HTTP beyond loopback: the secret would go in clear."""
    parts = urlsplit(settings.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError([f"hub.url: expected http://host:port or https://host:port, got {settings.url!r}"])
    if parts.scheme == "http" and not loopback(parts.hostname):
        raise ConfigError([f"hub.url: plain HTTP is allowed to this machine only, use https:// for {parts.hostname}"])


def _context(settings: Tls) -> ssl.SSLContext:
    """Verifies the hub against the given authority (or the system's) and shows our certificate."""
    try:
        context = ssl.create_default_context(cafile=str(settings.authority) if settings.authority else None)
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except OSError as fault:
        raise AccessRefused(f"hub.tls: {fault}") from fault
    return context


def _retry_seconds(header: str) -> float:
    """The hub's Retry-After in seconds, bounded; a date or nothing means the usual wait."""
    return (
        min(float(header), RETRY_CAP_SECONDS) if header.isdecimal() and len(header) <= RETRY_DIGITS else RETRY_SECONDS
    )
