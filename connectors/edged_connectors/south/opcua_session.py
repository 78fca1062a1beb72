"""One OPC UA session, from the socket to CloseSession. It never reconnects: a new one is built instead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from asyncua import Client, ua
from asyncua.client.ua_client import UaClientState
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edged.errors import AccessRefused, EdgedError, SourceLost, SourceUnreachable
from edged.supervise import start_task
from edged_connectors.south.opcua_decode import Published
from edged_connectors.south.opcua_limits import MOST_OPERATIONS, OperationLimits, Service, limits_of
from edged_connectors.south.opcua_options import NodeReference, OpcUaOptions, SecurityPolicy
from edged_connectors.south.opcua_publish import Publisher
from edged_connectors.south.opcua_refusals import certificate_advice, refusal
from edged_connectors.south.opcua_security import log_in, secure

SOCKET_SECONDS = 3.0
HELLO_SECONDS = 5.0
CLOSE_SECONDS = 2.0
SESSION_SECONDS = 60.0
"""The server frees a session that we could not close after so long: small controllers have ten of them."""
NO_TIMEOUT = 0.0
"""A publish request waits for the next notification; the runner's watchdog knows when that is too long."""
RENEW_SHARE = 0.75
"""Of a security token's lifetime (OPC UA part 4, 5.5.2)."""

OPEN_STATES = (UaClientState.CHANNEL_OPEN, UaClientState.CONNECTED)
NAMESPACE_ARRAY = ua.NodeId(ua.ObjectIds.Server_NamespaceArray)
LIMIT_NODES = {
    Service.READ: ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    Service.WRITE: ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
    Service.MONITOR: ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    Service.BROWSE: ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    Service.HISTORY: ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
}


class Session:
    """A secured, activated session and the services we use of it. Service calls raise SourceLost when it is gone."""

    def __init__(self, options: OpcUaOptions, on_lost: Callable[[EdgedError], None]) -> None:
        quiet_library()
        self._options = options
        self._on_lost = on_lost
        self._client = Client(options.endpoint, timeout=options.request_timeout_seconds)
        self._client.name = self._client.description = "edged"
        idle = max(SESSION_SECONDS, 3 * options.polling_milliseconds / 1000)
        self._client.session_timeout = round(idle * 1000)
        self._keeper: asyncio.Task[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._namespaces: dict[str, int] = {}
        self.limits: OperationLimits = limits_of(options.endpoint)
        capacity = options.capacity()
        self.limits.override(options.items_per_call, MOST_OPERATIONS if capacity is None else capacity.operations)

    async def open(self) -> None:
        """Connects and activates. Raises SourceUnreachable or AccessRefused with what to do about it."""
        try:
            await secure(self._client, self._options)
            await self._connect()
            await self._client.create_session()
            await log_in(self._client, self._options)
        except UaStatusCodeError as fault:
            raise refusal(self._options, fault) from fault
        except TimeoutError as fault:
            raise SourceUnreachable(f"{self._options.endpoint} did not answer in time") from fault
        except OSError as fault:
            raise SourceUnreachable(f"{self._options.endpoint}: {fault}") from fault
        except UaError as fault:
            raise AccessRefused(
                f"{self._options.endpoint}: {fault}; compare security policy and certificate"
            ) from fault
        self._keeper = start_task(f"opcua:{self._options.endpoint}", self._keep())
        await self._learn()

    async def read(self, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds = ua.AttributeIds.Value) -> list[Any]:
        """A data value per node, read at the source, in as few calls as the server takes."""

        async def call(part: Sequence[ua.NodeId]) -> Sequence[Any]:
            wanted = [ua.ReadValueId(node, attribute) for node in part]
            parameters = ua.ReadParameters(0, ua.TimestampsToReturn.Both, wanted)
            values: list[ua.DataValue] = await self._client.uaclient.read(parameters)
            return values

        return await self._split(Service.READ, nodes, call)

    async def write(self, node: ua.NodeId, value: ua.DataValue) -> ua.StatusCode:
        """Writes one value and returns its status. Raises what the library raises: its caller tells the outcomes."""
        results = await self._client.uaclient.write_attributes([node], [value])
        return results[0]

    async def subscribe(self, parameters: ua.CreateSubscriptionParameters, deliver: Callable[[Published], None]) -> int:
        """Creates the session's subscription, whose every publish response goes to `deliver`; returns its id."""
        request = ua.CreateSubscriptionRequest()
        request.Parameters = parameters
        try:
            response = struct_from_binary(ua.CreateSubscriptionResponse, await self._send(request))
            response.ResponseHeader.ServiceResult.check()
        except (UaError, OSError) as fault:
            raise SourceLost(f"{self._options.endpoint}: no subscription: {_sentence(fault)}") from fault
        subscription = int(response.Parameters.SubscriptionId)
        publisher = Publisher(subscription, partial(self._send, timeout_seconds=NO_TIMEOUT), deliver)
        self._publishing = start_task(f"opcua:{self._options.endpoint}:publish", self._publish(publisher))
        return subscription

    async def monitor(self, subscription: int, requests: Sequence[ua.MonitoredItemCreateRequest]) -> list[Any]:
        """Adds monitored items; a result with its own status for each."""

        async def call(part: Sequence[ua.MonitoredItemCreateRequest]) -> Sequence[Any]:
            parameters = ua.CreateMonitoredItemsParameters(subscription, ua.TimestampsToReturn.Both, list(part))
            results: list[Any] = await self._client.uaclient.create_monitored_items(parameters)
            return results

        return await self._split(Service.MONITOR, requests, call)

    async def browse(self, nodes: Sequence[ua.NodeId]) -> list[list[Any]]:
        """The forward hierarchical references of each node, continuation points followed."""

        async def call(part: Sequence[ua.NodeId]) -> Sequence[list[Any]]:
            parameters = ua.BrowseParameters(NodesToBrowse=[_children_of(node) for node in part])
            return [await self._follow(result) for result in await self._client.uaclient.browse(parameters)]

        return await self._split(Service.BROWSE, nodes, call)

    async def read_history(
        self, details: ua.ReadRawModifiedDetails, nodes: Sequence[ua.HistoryReadValueId]
    ) -> list[Any]:
        """A history result with its own status for each node. Raises what the library raises."""

        async def call(part: Sequence[ua.HistoryReadValueId]) -> Sequence[Any]:
            stamps = ua.TimestampsToReturn.Both
            parameters = ua.HistoryReadParameters(details, stamps, ReleaseContinuationPoints=False)
            parameters.NodesToRead = list(part)
            results: list[Any] = await self._client.uaclient.history_read(parameters)
            return results

        return await self.limits.split(Service.HISTORY, nodes, call)

    async def read_namespaces(self) -> None:
        """Learns the server's namespace numbers, which may differ from the last connection's."""
        uris = (await self.read([NAMESPACE_ARRAY]))[0].Value
        self._namespaces = {uri: index for index, uri in enumerate(uris.Value or ())} if uris is not None else {}

    def resolve(self, reference: NodeReference) -> ua.NodeId | None:
        """The node id under the present numbering; None when the server lacks the namespace."""
        index = reference.index if reference.uri is None else self._namespaces.get(reference.uri)
        if index is None:
            return None
        return ua.NodeId.from_string(f"ns={index};{reference.identifier}")

    def name_of(self, node: ua.NodeId) -> str:
        """The node by namespace URI, as the configuration writes it."""
        uri = next((uri for uri, index in self._namespaces.items() if index == node.NamespaceIndex), None)
        text = str(node.to_string())
        return text if uri is None else f"nsu={uri};{text.partition(';')[2]}"

    async def close(self) -> None:
        """CloseSession with its subscriptions, then the channel, then the socket; bounded, never raises."""
        tasks = {task for task in (self._publishing, self._keeper) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with suppress(UaError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.close_session()
        if self._client.state in OPEN_STATES:
            with suppress(UaError, OSError):
                await self._client.close_secure_channel()
        self._client.disconnect_socket()

    async def _connect(self) -> None:
        async with asyncio.timeout(SOCKET_SECONDS):
            await self._client.connect_socket()
        async with asyncio.timeout(HELLO_SECONDS):
            await self._client.send_hello()
        try:
            await self._client.open_secure_channel()
        except (ConnectionError, TimeoutError) as fault:
            if self._options.security_policy is SecurityPolicy.NONE:
                raise
            raise AccessRefused(certificate_advice(self._options, "it does not answer our secured request")) from fault

    async def _learn(self) -> None:
        await self.read_namespaces()
        values = await self.read([ua.NodeId(number) for number in LIMIT_NODES.values()])
        said = {}
        for service, data in zip(LIMIT_NODES, values, strict=True):
            number = data.Value.Value if data.Value is not None else None
            said[service] = number if isinstance(number, int) else None
        self.limits.announced(said)

    async def _follow(self, result: Any) -> list[Any]:
        references = list(result.References or ())
        while result.ContinuationPoint:
            following = ua.BrowseNextParameters(False, [result.ContinuationPoint])
            result = (await self._client.uaclient.browse_next(following))[0]
            references += result.References or ()
        return references

    async def _keep(self) -> None:
        """Renews the channel in time and tells when the transport goes away."""
        client = self._client
        try:
            async with client.subscribe_state() as changes:
                while client.state is UaClientState.CONNECTED:
                    with suppress(TimeoutError):
                        await changes.next_change(client.secure_channel_timeout / 1000 * RENEW_SHARE)
                        continue
                    await client.open_secure_channel(renew=True)
                    client.uaclient.revolve_security_token()
        except (UaError, OSError) as fault:
            self._on_lost(SourceLost(f"{self._options.endpoint} did not renew the channel: {_sentence(fault)}"))
        self._on_lost(SourceLost(f"{self._options.endpoint} closed the connection"))

    async def _send(self, request: Any, timeout_seconds: float | None = None) -> Buffer:
        """The body of the response. Raises UaError or OSError."""
        protocol = self._client.uaclient.protocol
        if protocol is None:
            raise ConnectionError("the connection is closed")
        return await protocol.send_request(request, timeout_seconds)

    async def _publish(self, publisher: Publisher) -> None:
        try:
            await publisher.run()
        except SourceLost as fault:
            self._on_lost(SourceLost(f"{self._options.endpoint}: {fault}"))
        except OSError:
            self._on_lost(SourceLost(f"{self._options.endpoint} closed the connection"))

    async def _split(self, service: Service, operations: Sequence[Any], call: Any) -> list[Any]:
        try:
            return await self.limits.split(service, operations, call)
        except (UaError, OSError) as fault:
            raise SourceLost(f"{self._options.endpoint}: {service} failed: {_sentence(fault)}") from fault


def quiet_library() -> None:
    """Keeps asyncua at warnings, and its traceback per second of an outage out of the log."""
    library = logging.getLogger("asyncua")
    if library.level < logging.WARNING:
        library.setLevel(logging.WARNING)
    for name in ("client.client", "client.ua_session.UaSession", "client.ua_client.UASocketProtocol"):
        logger = logging.getLogger(f"asyncua.{name}")
        if _drop_tracebacks not in logger.filters:
            logger.addFilter(_drop_tracebacks)


def _drop_tracebacks(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def _children_of(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
        IncludeSubtypes=True,
        NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable,
        ResultMask=ua.BrowseResultMask.All,
    )


def _sentence(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
