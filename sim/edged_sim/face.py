"""A face's process: takes ticks from the plant over stdin, serves them, hands writes back over stdout."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

from edged import log as logs
from edged.clock import Clock, SystemClock
from edged.log import get_logger
from edged_sim.journal import Journal
from edged_sim.link import Inbox, LinkBroken, LocalSet, Outbox, Setup, Tick
from edged_sim.tags import Face, tags_of

log = get_logger("face")


class FaceServer(Protocol):
    """What every face can do. The first tick comes before `listen`, so that no client ever finds it without values."""

    async def listen(self) -> None:
        """Opens the door. Raises OSError or RuntimeError when the port is taken."""
        ...

    async def tick(self, tick: Tick) -> None:
        """Offers the readings of one moment."""
        ...

    async def local_set(self, message: LocalSet) -> None:
        """Somebody at the panel changed a set-point or switch."""
        ...

    async def stop(self) -> None:
        """Leaves its clients in good order."""
        ...


def run_face() -> None:
    """The whole life of a face's process; it ends when the plant closes its pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure("info")
    asyncio.run(_serve())


async def _serve() -> None:
    inbox = Inbox()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: inbox, sys.stdin)
    setup = await inbox.take()
    if not isinstance(setup, Setup):
        raise LinkBroken("a face is started by `edged-sim run`, not by hand")
    clock = SystemClock()
    inbox.newest_only = setup.face is not Face.MQTT
    journal = Journal(Path(setup.journal) / f"{setup.face}.jsonl", setup.face, clock)
    outbox = Outbox(_private_stdout())
    server = await _build(setup, journal, outbox, clock)
    listening = False
    try:
        while (message := await inbox.take()) is not None:
            if isinstance(message, Tick):
                await server.tick(message)
            elif isinstance(message, LocalSet):
                await server.local_set(message)
            if not listening:
                await server.listen()
                outbox.ready(setup.port)
                listening = True
    finally:
        await server.stop()
        transport.close()
        journal.close()


def _private_stdout() -> int:
    """The pipe to the plant for ourselves alone: what libraries print goes to stderr."""
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


async def _build(setup: Setup, journal: Journal, outbox: Outbox, clock: Clock) -> FaceServer:
    """The face; its library is imported only here, so that each process carries one."""
    tags = tags_of(setup.face)
    if setup.face is Face.OPCUA:
        from edged_sim.opcua_face import OpcUaFace

        face = OpcUaFace(tags, journal, outbox.written, clock, setup.security)
        await face.prepare(setup.port)
        return face
    if setup.face is Face.MODBUS:
        from edged_sim.modbus_face import ModbusFace

        return ModbusFace(tags, journal, outbox.written, setup.port)
    from edged_sim.mqtt_face import MqttFace

    return MqttFace(tags, journal, clock, setup.port, setup.mqtt_protocol)
