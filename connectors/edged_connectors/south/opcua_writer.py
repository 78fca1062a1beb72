"""Sealed writes: the value alone, in the node's own type; what became of it is told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from asyncua import ua
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edged.clock import Clock
from edged.errors import WriteFailed, WriteUnknown
from edged.types import Command, Seal
from edged_connectors.south.opcua_items import Item
from edged_connectors.south.opcua_session import Session

UNDECIDED = frozenset(
    {
        ua.StatusCodes.BadTimeout,
        ua.StatusCodes.BadRequestTimeout,
        ua.StatusCodes.BadCommunicationError,
        ua.StatusCodes.BadConnectionClosed,
        ua.StatusCodes.BadSecureChannelClosed,
        ua.StatusCodes.BadSessionClosed,
        ua.StatusCodes.BadShutdown,
    }
)
"""Statuses after which the device may have taken the value all the same."""

WHOLE_NUMBER_BOUNDS = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}
FLOAT_MAXIMUM = 3.4028234663852886e38


class OpcUaWriter:
    """Writes the writable signals of one session."""

    def __init__(self, seal: Seal, clock: Clock, session: Session, items: Mapping[str, Item]) -> None:
        self._seal = seal
        self._clock = clock
        self._session = session
        self._items = {path: item for path, item in items.items() if item.signal.writable}
        self._types: dict[str, ua.VariantType] = {}

    async def learn_types(self) -> None:
        """Reads the variant types of the writable nodes, so that a write costs one call. Raises SourceLost."""
        await self._learn(list(self._items.values()))

    async def write(self, command: Command) -> None:
        """Raises WriteFailed when nothing was changed, WriteUnknown when nobody can tell."""
        self._check(command)
        item = self._items[command.signal]
        if command.signal not in self._types:
            await self._learn([item])
        node, kind = self._session.resolve(item.reference), self._types.get(command.signal)
        if node is None or kind is None:
            raise WriteFailed(f"{command.signal}: the server does not have {item.reference.identifier} now")
        value = ua.DataValue(variant_of(command.signal, command.value, kind))
        try:
            status = await self._session.write(node, value)
        except UaStatusCodeError as fault:
            raise _outcome(command.signal, fault.code, type(fault).__name__) from fault
        except (UaError, OSError) as fault:
            raise WriteUnknown(f"{command.signal}: no answer to the write ({type(fault).__name__})") from fault
        if not status.is_good():
            raise _outcome(command.signal, status.value, status.name)

    def _check(self, command: Command) -> None:
        if command.seal is not self._seal:
            raise WriteFailed(f"{command.signal}: the command does not bear the gate's seal")
        if self._clock.monotonic() >= command.expires:
            raise WriteFailed(f"{command.signal}: the command has expired")
        if command.signal not in self._items:
            raise WriteFailed(f"{command.signal} is not a writable signal of this source")

    async def _learn(self, items: Sequence[Item]) -> None:
        known = [(item, node) for item in items if (node := self._session.resolve(item.reference)) is not None]
        values = await self._session.read([node for _, node in known])
        for (item, _), data in zip(known, values, strict=True):
            if data.Value is not None and data.Value.VariantType is not ua.VariantType.Null:
                self._types[item.path] = data.Value.VariantType


def variant_of(signal: str, value: float, kind: ua.VariantType) -> ua.Variant:
    """The value in the node's type. Raises WriteFailed when the type cannot hold it."""
    if not math.isfinite(value):
        raise WriteFailed(f"{signal}: {value} is not a number that can be written")
    if kind is ua.VariantType.Double or (kind is ua.VariantType.Float and abs(value) <= FLOAT_MAXIMUM):
        return ua.Variant(float(value), kind)
    if kind is ua.VariantType.Boolean and value in (0, 1):
        return ua.Variant(bool(value), kind)
    low, high = WHOLE_NUMBER_BOUNDS.get(kind, (1, 0))
    if float(value).is_integer() and low <= value <= high:
        return ua.Variant(int(value), kind)
    raise WriteFailed(f"{signal}: {value:g} does not fit the node's type {kind.name}")


def _outcome(signal: str, code: int, name: str) -> WriteFailed | WriteUnknown:
    if code in UNDECIDED:
        return WriteUnknown(f"{signal}: the server cannot tell whether the value arrived ({name})")
    return WriteFailed(f"{signal}: the server rejected the write ({name})")
