"""Recordings and the small broker as processes: a client gets every row, the configuration fits, faults are named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import yaml
from asyncua import Client, ua

from tests.integration.brokers import free_port, wait_until_listening
from tests.integration.sim_rig import SimProcess, eventually

ROWS = 60
NAMESPACE = "urn:edged:sim:replay"

pytestmark = pytest.mark.timeout(120)


class Heard:
    def __init__(self) -> None:
        self.values: dict[str, dict[int, Any]] = {}

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        stamp = round(data.monitored_item.Value.SourceTimestamp.timestamp() * 1000)
        told = self.values.setdefault(node.nodeid.Identifier, {})
        assert stamp not in told
        told[stamp] = value


@contextlib.asynccontextmanager
async def replaying(folder: Path, *arguments: str) -> AsyncIterator[SimProcess]:
    places = ("--opcua-port", "0", "--journal", str(folder / "journal"), "--ready-file", str(folder / "ready.json"))
    process = SimProcess(folder, "replay", *arguments, *places)
    await process.start()
    try:
        await process.wait_ready()
        yield process
    finally:
        await process.stop()


async def test_every_row_waits_for_the_client_and_reaches_it(tmp_path: Path) -> None:
    recorded = tmp_path / "plant.csv"
    recorded.write_text("time,flow [m3/h],state\n" + "".join(f"{i / 10},{i * 1.5},s{i}\n" for i in range(ROWS)))
    heard = Heard()
    arguments = (str(recorded), "--speed", "10", "--config-out", str(tmp_path / "replay.yaml"))
    async with replaying(tmp_path, *arguments) as process:
        async with Client(f"opc.tcp://127.0.0.1:{process.ready()['ports']['opcua']}/") as client:
            index = await client.get_namespace_index(NAMESPACE)
            names = [f"recording.{name}" for name in ("flow", "state", "time")]
            subscription = await client.create_subscription(20, heard)
            nodes = [client.get_node(ua.NodeId(name, index)) for name in names]
            await subscription.subscribe_data_change(nodes, queuesize=100)
            await eventually(lambda: process.ready()["done"], "the end of the recording")
            await eventually(
                lambda: all(len(heard.values.get(name, {})) == ROWS for name in names), "every row at the client"
            )
        assert process.ready()["rows_played"] == ROWS
    assert list(heard.values["recording.flow"].values()) == [i * 1.5 for i in range(ROWS)]
    assert list(heard.values["recording.time"].values()) == [i * 100 for i in range(ROWS)]
    journal = [line for line in process.journal("opcua") if "t" in line]
    assert [line["t"] for line in journal] == sorted(heard.values["recording.state"])
    config = yaml.safe_load((tmp_path / "replay.yaml").read_text())
    assert config["line"] == "replay"
    signals = config["sources"]["recording"]["signals"]
    assert [signal["address"]["node"] for signal in signals] == [f"nsu={NAMESPACE};s={name}" for name in names]


async def test_a_recording_may_be_limited_and_left(tmp_path: Path) -> None:
    recorded = tmp_path / "plant.csv"
    recorded.write_text("time,a\n" + "".join(f"{i},{i}\n" for i in range(ROWS)))
    options = ("--rows-per-second", "500", "--limit", "10", "--no-wait", "--leave")
    async with replaying(tmp_path, str(recorded), *options) as process:
        assert await process.wait() == 0
    assert sum("t" in line for line in process.journal("opcua")) == 10


async def test_a_row_that_cannot_be_read_ends_with_2_and_its_place(tmp_path: Path) -> None:
    recorded = tmp_path / "plant.csv"
    recorded.write_text("time,a\n" + "".join(f"{i},{i}\n" for i in range(600)) + "soon,1\n")
    options = ("--rows-per-second", "2000", "--no-wait", "--opcua-port", "0", "--journal", str(tmp_path / "journal"))
    process = SimProcess(tmp_path, "replay", str(recorded), *options)
    await process.start()
    assert await process.wait() == 2
    assert "plant.csv:602: time: expected ISO 8601" in process.log.read_text()
    assert "Traceback" not in process.log.read_text()


async def test_the_small_broker_carries_messages(tmp_path: Path) -> None:
    port = free_port()
    process = SimProcess(tmp_path, "broker", "--port", str(port))
    await process.start()
    try:
        await wait_until_listening(port, 30)
        async with aiomqtt.Client("127.0.0.1", port) as listener, aiomqtt.Client("127.0.0.1", port) as sender:
            await listener.subscribe("a/#", qos=1)
            await sender.publish("a/b", b"hello", qos=1)
            async with asyncio.timeout(10):
                async for message in listener.messages:
                    assert message.payload == b"hello"
                    break
    finally:
        assert await process.stop() == 0
