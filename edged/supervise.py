"""Every long-lived task runs here: named, restarted with back-off, awaited."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from edged.clock import Clock
from edged.errors import AccessRefused, ConfigError, EdgedError
from edged.log import get_logger

FIRST_DELAY_SECONDS = 0.1
DELAY_CAP_SECONDS = 2.0
REFUSED_DELAY_CAP_SECONDS = 60.0
HEALTHY_AFTER_SECONDS = 60.0

T = TypeVar("T")
log = get_logger("supervise")


def start_task(name: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A named task whose owner cancels and awaits it."""
    return asyncio.create_task(coroutine, name=name)


class Backoff:
    """Jittered, doubling delays: up to 2 s, or up to 60 s after a refusal that only a person can mend.

    It starts over when refusals follow other faults or the other way round.
    """

    def __init__(
        self, first: float = FIRST_DELAY_SECONDS, cap: float = DELAY_CAP_SECONDS, rng: random.Random | None = None
    ) -> None:
        self._first = first
        self._cap = cap
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._attempt = 0
        self._slow = False

    def next(self, fault: BaseException | None = None) -> float:
        """Seconds to wait before the next attempt."""
        slow = isinstance(fault, AccessRefused | ConfigError)
        if slow is not self._slow:
            self._attempt, self._slow = 0, slow
        cap = REFUSED_DELAY_CAP_SECONDS if slow else self._cap
        delay = min(cap, self._first * 2.0 ** min(self._attempt, 16))
        self._attempt += 1
        return delay * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Starts over after a healthy spell."""
        self._attempt = 0


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How one supervised service is doing."""

    name: str
    running: bool
    essential: bool
    restarts: int
    last_fault: str


class _Service:
    def __init__(self, name: str, run: Callable[[], Awaitable[None]], *, essential: bool) -> None:
        self.name = name
        self.run = run
        self.essential = essential
        self.running = False
        self.restarts = 0
        self.last_fault = ""
        self.task: asyncio.Task[None] | None = None


class Supervisor:
    """Owns the root TaskGroup. A service that raises is started again; one that returns is done."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._group = asyncio.TaskGroup()
        self._services: dict[str, _Service] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for service in self._services.values():
            if service.task is not None:
                service.task.cancel()
        await self._group.__aexit__(kind, fault, trace)

    def start(self, name: str, run: Callable[[], Awaitable[None]], *, essential: bool = False) -> None:
        """Runs `run` under supervision; the watchdog is fed only while every essential service runs."""
        service = _Service(name, run, essential=essential)
        self._services[name] = service
        service.task = self._group.create_task(self._keep(service), name=name)

    async def stop(self, name: str, grace_seconds: float) -> None:
        """Cancels one service and waits for it, at most for the grace."""
        service = self._services.get(name)
        if service is None or service.task is None:
            return
        service.task.cancel()
        await asyncio.wait({service.task}, timeout=grace_seconds)

    def status(self) -> tuple[ServiceStatus, ...]:
        """One line per service."""
        return tuple(
            ServiceStatus(service.name, service.running, service.essential, service.restarts, service.last_fault)
            for service in self._services.values()
        )

    def healthy(self) -> bool:
        """True while every essential service runs."""
        return all(service.running for service in self._services.values() if service.essential)

    async def _keep(self, service: _Service) -> None:
        backoff = Backoff()
        while True:
            started = self._clock.monotonic()
            service.running = True
            try:
                await service.run()
            except Exception as fault:
                self._note(service, fault)
                if self._clock.monotonic() - started >= HEALTHY_AFTER_SECONDS:
                    backoff.reset()
                delay = backoff.next(fault)
            else:
                return
            finally:
                service.running = False
            await self._clock.sleep(delay)

    def _note(self, service: _Service, fault: Exception) -> None:
        sentence = f"{type(fault).__name__}: {fault}"
        if sentence != service.last_fault:
            expected = isinstance(fault, EdgedError)
            log.warning("service_restarts", service=service.name, fault=sentence, exc_info=None if expected else fault)
        service.last_fault = sentence
        service.restarts += 1
