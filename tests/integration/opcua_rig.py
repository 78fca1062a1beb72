"""The OPC UA test server as tests use it: started as a process, steered, killed, stalled, started again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edged.clock import SystemClock
from edged.ports import Connector
from edged.registry import Binding, SourceSetup
from edged.types import Seal, Signal, ValueType
from edged_connectors.south.opcua import KIND
from edged_connectors.south.opcua_options import OpcUaAddress, OpcUaOptions
from tests.integration.brokers import free_port

SCRIPT = Path(__file__).with_name("opcua_server.py")
NAMESPACE = "urn:edged:test"
READY_SECONDS = 30.0


class ServerProcess:
    """One server process; its port stays the same when it is started again. Usable from any event loop."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        self.arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def start(self, *arguments: str) -> None:
        """Starts it and waits until it serves; `arguments` replace those it was made with."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.to_thread(self.start_now, *arguments)
        except TimeoutError:
            self.kill_now()
            raise

    def start_now(self, *arguments: str) -> None:
        """The same for fixtures without an event loop."""
        command = self.command(arguments or self.arguments)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert self._answer() == {"ready": True}
        except AssertionError:
            self.kill_now()
            raise

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, str(SCRIPT), str(self.port), *arguments]

    async def order(self, **order: Any) -> Any:
        """Sends one order and returns its answer."""
        return await asyncio.to_thread(self._order, order)

    async def set(self, name: str, value: Any) -> None:
        await self.order(set=name, value=value)

    def stall(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Ends it as a power cut would; nothing happens when it has ended."""
        await asyncio.to_thread(self.kill_now)

    def kill_now(self) -> None:
        """The same for fixtures without an event loop."""
        if self._process is not None:
            self._process.kill()
            with self._process:
                self._process.wait()
            self._process = None

    def _order(self, order: dict[str, Any]) -> Any:
        pipe = self._running().stdin
        assert pipe is not None
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()
        return self._answer()

    def _answer(self) -> Any:
        pipe = self._running().stdout
        assert pipe is not None
        for line in pipe:
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError("the server ended")

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the server is not running"
        return self._process


def signal_of(name: str, kind: ValueType = ValueType.FLOAT, *, writable: bool = False) -> Signal:
    """A signal of the test line."""
    return Signal(f"line_a/test/{name}", "1", kind, writable=writable)


def setup_of(endpoint: str, signals: Sequence[Signal], folder: Path, **options: Any) -> SourceSetup:
    """A source whose signals are nodes of the same name in the test namespace."""
    quick: dict[str, Any] = {"publishing_milliseconds": 50, "sampling_milliseconds": 20, "keep_alive_seconds": 1}
    bindings = tuple(Binding(s, OpcUaAddress(node=f"nsu={NAMESPACE};s={s.name}")) for s in signals)
    settings = OpcUaOptions(endpoint=endpoint, **(quick | options))
    return SourceSetup("plc", settings, bindings, SystemClock(), Seal(), folder)


class OpcUaRig:
    """The test server as the contract sees it."""

    reading = "line_a/test/reading"
    writable: str | None = "line_a/test/setpoint"
    absent: str | None = "line_a/test/absent"
    refuses_at_connect = True
    loss_seconds = 5.0
    pace_seconds = 0.1

    def __init__(self, folder: Path, **options: Any) -> None:
        self.server = ServerProcess()
        signals = [signal_of("reading"), signal_of("setpoint", writable=True), signal_of("absent")]
        self.setup = setup_of(self.server.endpoint, signals, folder, **options)
        self.seal = self.setup.seal

    def build(self) -> Connector:
        return KIND.build(self.setup)

    async def change(self, value: float) -> None:
        await self.server.set("reading", value)

    async def held(self) -> float:
        return float((await self.server.order(get="setpoint"))["value"])

    async def break_off(self) -> None:
        await self.server.kill()

    async def restore(self) -> None:
        await self.server.start()
