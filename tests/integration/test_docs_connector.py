"""The connector of the how-to is no sketch: it keeps the contract of every kind, and `edged check` finds it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.clock import SystemClock
from edged.ports import Connector
from edged.registry import Binding, SourceSetup
from edged.types import Seal, Signal
from tests.integration.brokers import free_port
from tests.integration.connector_contract import ConnectorContract
from tests.integration.connector_from_docs import block_of, kind_from_docs, write_package

CHANNEL = 3
ABSENT_CHANNEL = 7
PERIOD_SECONDS = 0.02
HEAD = "site: some_site\nline: some_line\ndata_directory: state\n"


class Scale:
    """A scale that answers each line, the number of a channel, with its weight, or a question mark."""

    def __init__(self) -> None:
        self.port = free_port()
        self.weights = {CHANNEL: 0.0}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.close()
            await self._server.wait_closed()
            self._server = None
        while self._open:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while line := await reader.readline():
                writer.write(f"{self.weights.get(int(line), '?')}\n".encode())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._open.discard(writer)


class ScaleRig:
    """The scale as the contract sees it."""

    reading = "line_a/dock/weight"
    writable: str | None = None
    absent: str | None = "line_a/dock/absent"
    refuses_at_connect = True
    loss_seconds = 3.0
    pace_seconds = 0.1

    def __init__(self, folder: Path) -> None:
        self.scale = Scale()
        self.seal = Seal()
        kind = kind_from_docs()
        options = kind.options(host="127.0.0.1", port=self.scale.port, period_seconds=PERIOD_SECONDS)
        bindings = tuple(
            Binding(Signal(path, "kg"), kind.address(channel=channel))
            for path, channel in ((self.reading, CHANNEL), ("line_a/dock/absent", ABSENT_CHANNEL))
        )
        self.setup = SourceSetup("dock", options, bindings, SystemClock(), self.seal, folder)

    def build(self) -> Connector:
        return kind_from_docs().build(self.setup)

    async def change(self, value: float) -> None:
        self.scale.weights[CHANNEL] = value

    async def held(self) -> float:
        return self.scale.weights[CHANNEL]

    async def break_off(self) -> None:
        await self.scale.stop()

    async def restore(self) -> None:
        await self.scale.start()


class TestScaleFromDocs(ConnectorContract):
    """Every rule, over TCP."""

    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[ScaleRig]:
        made = ScaleRig(tmp_path)
        await made.restore()
        yield made
        await made.break_off()


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (("kg", "kg"), 0, "ok: 1 source, 1 signal"),
        (("channel: 3", "channel: 9"), 2, "sources.dock.signals.0.address.channel"),
    ],
)
def test_edged_finds_the_installed_kind(change: tuple[str, str], status: int, said: str, tmp_path: Path) -> None:
    write_package(tmp_path / "site")
    line = tmp_path / "line.yaml"
    line.write_text(HEAD + block_of("yaml").text.replace(*change), encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(
        [sys.executable, "-m", "edged.cli", "check", str(line)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, said in answer.stdout + answer.stderr) == (status, True), answer
