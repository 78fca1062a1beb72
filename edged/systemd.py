"""The systemd side of a service: one datagram per message, and a watchdog that is fed only while all is well."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from edged.clock import Clock
from edged.log import get_logger

MICROSECONDS_PER_SECOND = 1_000_000

log = get_logger("systemd")


def notify(message: str) -> bool:
    """Sends e.g. READY=1 to the manager; False where no manager listens. A manager that is gone stops nobody."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode(), address)
    except OSError as fault:
        log.warning("manager_not_told", message=message.partition("\n")[0], fault=str(fault))
        return False
    return True


def watchdog_period_seconds() -> float | None:
    """Half of what the unit's WatchdogSec allows, or None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / MICROSECONDS_PER_SECOND / 2 if microseconds else None


async def feed_watchdog(clock: Clock, healthy: Callable[[], bool], summary: Callable[[], str]) -> None:
    """Feeds the watchdog while `healthy` says so; runs until cancelled, returns at once without a watchdog."""
    period = watchdog_period_seconds()
    if period is None:
        return
    while True:
        if healthy():
            notify(f"WATCHDOG=1\nSTATUS={summary()}")
        await clock.sleep(period)
