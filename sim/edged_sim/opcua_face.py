"""The OPC UA face: an asyncua server with folders, engineering units, source times and a writable set-point."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Node, Server, ua
from asyncua.common.callback import CallbackType
from asyncua.crypto.permission_rules import User, UserRole

from edged.clock import Clock
from edged.log import get_logger
from edged.types import NANOSECONDS_PER_MILLISECOND, Value, ValueType
from edged_sim.journal import Journal
from edged_sim.link import LocalSet, OnWrite, Security, Tick
from edged_sim.tags import NAMESPACE, Tag

APPLICATION = "urn:edged:sim:server"
UNECE_NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"
MILLISECONDS_PER_SECOND = 1000

_VARIANTS = {
    ValueType.FLOAT: ua.VariantType.Double,
    ValueType.INT: ua.VariantType.Int64,
    ValueType.BOOL: ua.VariantType.Boolean,
    ValueType.STRING: ua.VariantType.String,
}

log = get_logger("opcua_face")


@dataclass(slots=True)
class _Variable:
    tag: Tag
    node: ua.NodeId
    variant: ua.VariantType
    value: Value | None = None
    stamp: int = 0


class OpcUaFace:
    """Serves tags as variables `ns;s=furnace.temperature` in folders line / equipment.

    Set-points belong to the face while it runs: clients write them here and the plant follows.
    """

    def __init__(
        self, tags: Sequence[Tag], journal: Journal, on_write: OnWrite, clock: Clock, security: Security | None = None
    ) -> None:
        self._tags = tags
        self._journal = journal
        self._on_write = on_write
        self._clock = clock
        self._security = security or Security()
        self.subscribed = asyncio.Event()
        """Set once a client has subscribed to anything."""
        self._variables: list[_Variable] = []
        self._by_node: dict[ua.NodeId, _Variable] = {}
        self._server = Server(user_manager=_Users(self._security))

    async def prepare(self, port: int, namespace: str = NAMESPACE) -> None:
        """Builds the address space. Values come with the first tick, before anybody can connect."""
        server = self._server
        server.iserver.allow_remote_admin = False
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
        server.set_server_name("edged simulated line")
        await server.set_application_uri(APPLICATION)
        await self._guard()
        index = await server.register_namespace(namespace)
        await self._build(index)
        server.subscribe_server_callback(CallbackType.PreWrite, self._before_write)
        server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._note_subscription)

    async def listen(self) -> None:
        """Lets clients in, on the loopback interface. Raises OSError when the port is taken."""
        await self._server.start()

    async def tick(self, tick: Tick) -> None:
        """Stamps and offers the readings of one moment: journal first."""
        offered = [
            (variable, variable.value if variable.tag.writable and variable.stamp else value)
            for variable, value in zip(self._variables, tick.values, strict=True)
        ]
        await self._offer(offered, tick.t)

    async def local_set(self, message: LocalSet) -> None:
        """A set-point changed at the panel."""
        for variable in self._variables:
            if variable.tag.path == message.set:
                await self._offer([(variable, message.value)], self._milliseconds())

    async def stop(self) -> None:
        """Closes every session."""
        await self._server.stop()

    async def _offer(self, offered: Sequence[tuple[_Variable, Value | None]], milliseconds: int) -> None:
        stamp = max(milliseconds, *(variable.stamp + 1 for variable, _ in offered))
        moved = {variable.tag.signal: value for variable, value in offered if _differs(variable, value)}
        still = [variable.tag.signal for variable, value in offered if not _differs(variable, value)]
        self._journal.changed(stamp, moved, still)
        time = _time(stamp)
        write = self._server.iserver.aspace.write_attribute_value
        for variable, value in offered:
            variable.value, variable.stamp = value, stamp
            await write(variable.node, ua.AttributeIds.Value, _data_value(variable, value, time))

    def _note_subscription(self, event: Any, _: object) -> None:
        if event.is_external:
            self.subscribed.set()

    def _before_write(self, event: Any, _: object) -> None:
        """Before asyncua applies a client's write: refuse what the plant cannot take, stamp and journal the rest."""
        if not event.is_external:
            return
        for request in event.request_params.NodesToWrite:
            variable = self._by_node.get(request.NodeId)
            if variable is None or request.AttributeId != ua.AttributeIds.Value or not variable.tag.writable:
                continue
            if request.Value.Value is None or request.Value.Value.VariantType is not variable.variant:
                continue
            if not _acceptable(variable.tag, request.Value.Value.Value):
                raise ua.UaStatusCodeError(ua.StatusCodes.BadOutOfRange)
            self._accept(variable, request)

    def _accept(self, variable: _Variable, request: Any) -> None:
        value: Value = request.Value.Value.Value
        self._journal.written(variable.tag.signal, value)
        stamp = max(self._milliseconds(), variable.stamp + 1)
        moved = _differs(variable, value)
        signal = variable.tag.signal
        self._journal.changed(stamp, {signal: value} if moved else {}, [] if moved else [signal])
        variable.value, variable.stamp = value, stamp
        request.Value = _data_value(variable, value, _time(stamp))
        self._on_write(variable.tag.path, value)

    async def _guard(self) -> None:
        security, server = self._security, self._server
        policies = [] if security.required else [ua.SecurityPolicyType.NoSecurity]
        if security.certificate:
            await server.load_certificate(security.certificate)
            await server.load_private_key(security.private_key)
            policies.append(ua.SecurityPolicyType.Basic256Sha256_Sign)
            policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        server.set_security_policy(policies)
        server.set_identity_tokens(
            [ua.UserNameIdentityToken] if security.username else [ua.AnonymousIdentityToken, ua.UserNameIdentityToken]
        )

    async def _build(self, index: int) -> None:
        folders: dict[str, Node] = {}
        title = self._tags[0].line.title()
        line = await self._server.nodes.objects.add_folder(ua.NodeId(title, index), ua.QualifiedName(title, index))
        for tag in self._tags:
            if tag.equipment not in folders:
                name = tag.equipment.capitalize()
                folders[tag.equipment] = await line.add_folder(
                    ua.NodeId(f"{title}.{name}", index), ua.QualifiedName(name, index)
                )
            variable = await self._add(folders[tag.equipment], tag, index)
            self._variables.append(variable)
            self._by_node[variable.node] = variable

    async def _add(self, folder: Node, tag: Tag, index: int) -> _Variable:
        variant = _VARIANTS[tag.type]
        name = ua.QualifiedName(tag.name.rpartition("/")[2], index)
        initial = ua.Variant(None, ua.VariantType.Null)
        node = await folder.add_variable(ua.NodeId(tag.node, index), name, initial, datatype=ua.NodeId(variant.value))
        await node.write_attribute(
            ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(tag.description)))
        )
        if tag.writable:
            await node.set_writable()
        if tag.low is not None and tag.high is not None:
            await node.add_property(ua.NodeId(f"{tag.node}.EURange", index), "0:EURange", ua.Range(tag.low, tag.high))
        if tag.type is ValueType.FLOAT:
            unit = ua.EUInformation(NamespaceUri=UNECE_NAMESPACE, UnitId=-1, DisplayName=ua.LocalizedText(tag.unit))
            await node.add_property(ua.NodeId(f"{tag.node}.EngineeringUnits", index), "0:EngineeringUnits", unit)
        return _Variable(tag, node.nodeid, variant)

    def _milliseconds(self) -> int:
        return self._clock.now() // NANOSECONDS_PER_MILLISECOND


class _Users:
    """Lets everybody in as an operator, or only the one user with the right password."""

    def __init__(self, security: Security) -> None:
        self._name = security.username
        self._password = Path(security.password_file).read_text(encoding="utf-8").strip() if security.username else ""

    def get_user(
        self, _server: object, username: str | None = None, password: str | None = None, certificate: object = None
    ) -> User | None:
        """Called by asyncua when a session is activated; None refuses it."""
        del certificate
        if self._name and (username != self._name or password != self._password):
            log.warning("login_refused", user=username)
            return None
        return User(role=UserRole.User, name=username)


def _differs(variable: _Variable, value: Value | None) -> bool:
    """True when a subscriber on status and value is told."""
    return not variable.stamp or variable.value != value


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / MILLISECONDS_PER_SECOND, UTC)


def _acceptable(tag: Tag, value: object) -> bool:
    if not isinstance(value, float) or not math.isfinite(value):
        return False
    return (tag.low is None or value >= tag.low) and (tag.high is None or value <= tag.high)


def _data_value(variable: _Variable, value: Value | None, time: datetime) -> ua.DataValue:
    if value is None:
        return ua.DataValue(
            ua.Variant(None, ua.VariantType.Null),
            ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure)),
            SourceTimestamp=time,
            ServerTimestamp=time,
        )
    return ua.DataValue(ua.Variant(value, variable.variant), SourceTimestamp=time, ServerTimestamp=time)
