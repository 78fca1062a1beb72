"""What the configuration says of an OPC UA source. Light: it does not import the OPC UA library."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, field_validator, model_validator

from edged.settings import Seconds, Secret, Section

MINIMUM_REQUEST_TIMEOUT_SECONDS = 15.0
"""Slow controllers take seconds for a secured session; the silence watchdog, not this, notices a dead server."""

_NODE = re.compile(r"^(?:ns=(?P<index>\d+);|nsu=(?P<uri>.+?);(?=[isgb]=))?(?P<identifier>[isgb]=.+)$", re.DOTALL)

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Mode(StrEnum):
    """How values come: the server reports changes, or we read all of them each period."""

    SUBSCRIPTION = "subscription"
    POLLING = "polling"


class History(StrEnum):
    """Whether the server's history fills what a broken connection lost."""

    AUTO = "auto"
    OFF = "off"


class Profile(StrEnum):
    """What kind of server it is, where it does not tell its own limits."""

    GENERIC = "generic"
    S7_1200 = "s7_1200"
    S7_1500 = "s7_1500"


class Capacity(NamedTuple):
    """What a server offers one session: monitored items, and operations in one call."""

    items: int
    operations: int


CAPACITIES = {Profile.S7_1200: Capacity(items=1000, operations=100), Profile.S7_1500: Capacity(10_000, 1000)}
HEARTBEAT_ITEMS = 1
"""The server's clock is monitored beside the signals."""


class SecurityPolicy(StrEnum):
    """How the channel is secured."""

    NONE = "None"
    BASIC256SHA256 = "Basic256Sha256"
    AES128 = "Aes128Sha256RsaOaep"
    AES256 = "Aes256Sha256RsaPss"


class SecurityMode(StrEnum):
    """Whether messages are signed only, or encrypted too."""

    SIGN = "Sign"
    SIGN_AND_ENCRYPT = "SignAndEncrypt"


@dataclass(frozen=True, slots=True)
class NodeReference:
    """A node by namespace URI or index; the URI survives a server that numbers its namespaces anew."""

    identifier: str
    uri: str | None
    index: int


class OpcUaAddress(Section):
    """Where a signal is found on the server."""

    node: str = Field(description="nsu=URI;s=... (follows the namespace when its index changes), or ns=2;s=...")
    sampling_milliseconds: Milliseconds | None = Field(default=None, description="instead of the source's")

    @field_validator("node")
    @classmethod
    def _readable(cls, node: str) -> str:
        if _NODE.match(node) is None:
            raise ValueError(f"a node looks like nsu=urn:plant;s=furnace.temperature or ns=2;i=1001, got {node!r}")
        return node

    def reference(self) -> NodeReference:
        """The node, taken apart."""
        found = _NODE.match(self.node)
        assert found is not None
        return NodeReference(found["identifier"], found["uri"], int(found["index"] or 0))


class OpcUaOptions(Section):
    """One OPC UA server."""

    endpoint: str = Field(description="opc.tcp://host:port/path")
    mode: Mode = Mode.SUBSCRIPTION
    publishing_milliseconds: Milliseconds = 500.0
    sampling_milliseconds: Milliseconds = 250.0
    queue_seconds: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = Field(
        default=10.0, description="so long the server keeps each signal's values when they can't be taken from it"
    )
    polling_milliseconds: Milliseconds = Field(default=1000.0, description="period in polling mode")
    keep_alive_seconds: Seconds = Field(default=2.0, description="a sign of life at least this often")
    lifetime_seconds: Seconds = Field(default=60.0, description="the server forgets us after so long without a word")
    request_timeout_seconds: Annotated[float, Field(ge=MINIMUM_REQUEST_TIMEOUT_SECONDS, allow_inf_nan=False)] = 15.0
    profile: Profile = Field(default=Profile.GENERIC, description="bounds items and calls to what such a server takes")
    items_per_call: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="instead of what the server says of itself"
    )
    history: History = Field(
        default=History.AUTO, description="auto: what a broken connection lost is read from the server's history"
    )
    history_window_seconds: Seconds = Field(default=86_400.0, description="of a longer gap, only the end is filled")
    username: str | None = None
    password: Secret | None = None
    security_policy: SecurityPolicy = SecurityPolicy.NONE
    security_mode: SecurityMode = SecurityMode.SIGN_AND_ENCRYPT
    certificate: Path | None = Field(default=None, description="our certificate (PEM or DER)")
    key: Path | None = Field(default=None, description="our private key (PEM)")
    server_certificate: Path | None = Field(default=None, description="the one server certificate that we trust")
    trust_folder: Path | None = Field(
        default=None, description="instead: a folder with trusted/ and rejected/ server certificates"
    )
    trust_first_contact: bool = Field(
        default=False, description="keep the first certificate that this server shows in trusted/"
    )
    user_certificate: Path | None = Field(default=None, description="a user's certificate (PEM or DER), as token")
    user_key: Path | None = Field(default=None, description="that user's private key (PEM)")

    @field_validator("endpoint")
    @classmethod
    def _is_opc_tcp(cls, endpoint: str) -> str:
        if not re.match(r"^opc\.tcp://[^/\s:]+(:\d+)?(/\S*)?$", endpoint):
            raise ValueError(f"an endpoint looks like opc.tcp://192.168.0.10:4840/, got {endpoint!r}")
        return endpoint

    @model_validator(mode="after")
    def _complete(self) -> OpcUaOptions:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: give both or neither")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key belong together: give both or neither")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("a user has a password or a certificate: give username or user_certificate")
        trust = (self.server_certificate, self.trust_folder)
        if self.security_policy is not SecurityPolicy.NONE:
            if None in (self.certificate, self.key):
                raise ValueError(f"{self.security_policy} needs certificate and key")
            if trust.count(None) != 1:
                raise ValueError(f"{self.security_policy} needs either server_certificate or trust_folder")
        if self.trust_first_contact and self.trust_folder is None:
            raise ValueError("trust_first_contact needs a trust_folder")
        if self.lifetime_seconds < 3 * self.keep_alive_seconds:
            raise ValueError("lifetime_seconds must be at least three times keep_alive_seconds")
        return self

    def capacity(self) -> Capacity | None:
        """What the profile says that the server offers."""
        return CAPACITIES.get(self.profile)

    def overload(self, signals: int) -> str:
        """Why the server cannot take so many signals, empty when it can."""
        capacity = self.capacity()
        if capacity is None or self.mode is not Mode.SUBSCRIPTION or signals + HEARTBEAT_ITEMS <= capacity.items:
            return ""
        most = capacity.items - HEARTBEAT_ITEMS
        return (
            f"a server of profile {self.profile} takes {most} signals by subscription, got {signals}: use mode polling"
        )

    def keep_alive_count(self) -> int:
        """Publishing intervals without data after which the server sends a sign of life."""
        return max(1, math.floor(self.keep_alive_seconds * 1000 / self.publishing_milliseconds))

    def lifetime_count(self) -> int:
        """Publishing intervals without a request of ours after which the server drops the subscription."""
        wanted = math.ceil(self.lifetime_seconds * 1000 / self.publishing_milliseconds)
        return max(3 * self.keep_alive_count(), wanted)

    def sampling_of(self, address: OpcUaAddress) -> float:
        """The sampling interval of one signal, milliseconds."""
        return address.sampling_milliseconds or self.sampling_milliseconds

    def recall_seconds(self) -> float:
        """How far back the server's history is asked; 0 is not at all. What is polled is not made up for."""
        wanted = self.history is History.AUTO and self.mode is Mode.SUBSCRIPTION
        return self.history_window_seconds if wanted else 0.0

    def queue_size(self, sampling_milliseconds: float) -> int:
        """Values kept at the server, so that neither an interval nor a short stall of ours loses any."""
        kept_milliseconds = self.publishing_milliseconds + 1000.0 * self.queue_seconds
        return math.ceil(kept_milliseconds / sampling_milliseconds) + 1
