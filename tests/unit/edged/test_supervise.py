"""Supervision: a failing service is started again, its siblings go on, nothing is swallowed (CARD1)."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from edged.clock import VirtualClock
from edged.errors import AccessRefused, SourceLost
from edged.supervise import Backoff, Supervisor


async def test_a_failing_service_restarts_and_its_sibling_goes_on() -> None:
    clock = VirtualClock()
    attempts: list[float] = []
    beats = 0

    async def failing() -> None:
        attempts.append(clock.monotonic())
        raise SourceLost("gone")

    async def steady() -> None:
        nonlocal beats
        while True:
            await clock.sleep(1.0)
            beats += 1

    async with Supervisor(clock) as services:
        services.start("failing", failing)
        services.start("steady", steady, essential=True)
        await clock.advance(30.0)
        status = {service.name: service for service in services.status()}
        assert services.healthy()

    assert beats == 30
    assert len(attempts) >= 15
    assert max(later - earlier for earlier, later in pairwise(attempts)) <= 2.0
    assert status["failing"].last_fault == "SourceLost: gone"
    assert status["failing"].restarts == len(attempts)


async def test_a_programming_error_is_caught_named_and_retried() -> None:
    clock = VirtualClock()
    calls = 0

    async def broken() -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    async with Supervisor(clock) as services:
        services.start("broken", broken, essential=True)
        await clock.advance(1.0)
        assert not services.healthy()
        assert "ZeroDivisionError" in services.status()[0].last_fault
    assert calls > 1


async def test_a_service_that_returns_is_done() -> None:
    clock = VirtualClock()
    calls = 0

    async def once() -> None:
        nonlocal calls
        calls += 1

    async with Supervisor(clock) as services:
        services.start("once", once)
        await clock.advance(10.0)
    assert calls == 1


async def test_stop_cancels_and_waits_for_clean_up() -> None:
    clock = VirtualClock()
    cleaned = asyncio.Event()

    async def service() -> None:
        try:
            await clock.sleep(1e9)
        finally:
            cleaned.set()

    async with Supervisor(clock) as services:
        services.start("service", service)
        await clock.advance(0.1)
        await services.stop("service", 1.0)
        assert cleaned.is_set()


@pytest.mark.parametrize(("fault", "cap"), [(SourceLost("x"), 2.0), (AccessRefused("x"), 60.0)])
def test_backoff_grows_to_its_cap_with_jitter(fault: Exception, cap: float) -> None:
    backoff = Backoff(rng=random.Random(1))
    delays = [backoff.next(fault) for _ in range(40)]
    assert all(0.0 < delay <= cap for delay in delays)
    assert max(delays) > cap / 2
    assert delays[0] <= 0.1
    backoff.reset()
    assert backoff.next(fault) <= 0.1


def test_backoff_starts_over_when_a_refusal_follows_an_outage() -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.next(SourceLost("x"))
    assert backoff.next(AccessRefused("x")) <= 0.1
    assert backoff.next(AccessRefused("x")) <= 0.2
    assert backoff.next(SourceLost("x")) <= 0.1
