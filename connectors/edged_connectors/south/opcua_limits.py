"""How much one service call may carry: what the server says, what it taught us, or a safe number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import TypeVar

from asyncua.ua.uaerrors import BadTooManyOperations

SAFE_OPERATIONS = 50
"""When the server says nothing."""
MOST_OPERATIONS = 1000
"""When the server says that it has no limit."""

T = TypeVar("T")
R = TypeVar("R")


class Service(StrEnum):
    """The services whose calls we split."""

    READ = "read"
    WRITE = "write"
    MONITOR = "monitor"
    BROWSE = "browse"
    HISTORY = "history"


class OperationLimits:
    """The limits of one server; what it taught us outlives the connection."""

    def __init__(self) -> None:
        self._said: dict[Service, int] = {}
        self._learned: dict[Service, int] = {}
        self._override: int | None = None
        self._most = MOST_OPERATIONS

    @property
    def learned(self) -> dict[Service, int]:
        """What the server's refusals taught."""
        return dict(self._learned)

    def remember(self, learned: Mapping[Service, int]) -> None:
        """Takes what an earlier run learned."""
        self._learned |= learned

    def override(self, operations: int | None, most: int = MOST_OPERATIONS) -> None:
        """What the configuration says goes before what the server says, and neither goes beyond `most`."""
        self._override = operations
        self._most = most

    def announced(self, said: Mapping[Service, int | None]) -> None:
        """Takes what the server says of itself: None is unknown, 0 is unlimited."""
        self._said = {
            service: SAFE_OPERATIONS if number is None else (number or MOST_OPERATIONS)
            for service, number in said.items()
        }

    def of(self, service: Service) -> int:
        """Operations per call."""
        wanted = min(self._override or self._said.get(service, SAFE_OPERATIONS), self._most)
        return max(1, min(wanted, self._learned.get(service, wanted)))

    async def split(
        self, service: Service, operations: Sequence[T], call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]
    ) -> list[R]:
        """The results of all operations, in order, in as few calls as the server takes; learns from a refusal."""
        results: list[R] = []
        while len(results) < len(operations):
            size = self.of(service)
            try:
                part = await call(operations[len(results) : len(results) + size])
            except BadTooManyOperations:
                if size == 1:
                    raise
                self._learned[service] = size // 2
            else:
                results.extend(part)
        return results


@cache
def limits_of(endpoint: str) -> OperationLimits:
    """The limits of a server, kept across connections for as long as the process runs."""
    return OperationLimits()
