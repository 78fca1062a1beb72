"""`edged-sim run` as a user and the drills see it: processes, ports, ready file, restarts, clean stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from asyncua import Client, ua
from pymodbus.client import AsyncModbusTcpClient

from edged_sim.tags import NAMESPACE
from tests.integration.brokers import MosquittoBroker, free_port, mosquitto_broker
from tests.integration.sim_rig import SimProcess, alive, eventually, running_line

STEADY = "seed: 3\nsample_milliseconds: 50\n"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[MosquittoBroker]:
    async with mosquitto_broker(tmp_path / "broker") as running:
        yield running


async def write_setpoint(port: int, value: float) -> None:
    async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
        index = await client.get_namespace_index(NAMESPACE)
        await client.get_node(ua.NodeId("furnace.temperature_setpoint", index)).write_value(value)


async def read_setpoint(port: int) -> float:
    async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
        index = await client.get_namespace_index(NAMESPACE)
        value: float = await client.get_node(ua.NodeId("furnace.temperature_setpoint", index)).read_value()
        return value


async def read_inputs(port: int) -> list[int]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    await client.connect()
    try:
        return list((await client.read_input_registers(0, count=27, device_id=1)).registers)
    finally:
        client.close()


async def test_three_faces_run_keep_journals_and_stop_without_a_trace(tmp_path: Path, broker: MosquittoBroker) -> None:
    async with running_line(tmp_path, STEADY, broker.port) as line:
        ready = line.ready()
        assert set(ready["faces"]) == set(ready["ports"]) == {"opcua", "modbus", "mqtt"}
        assert ready["ports"]["mqtt"] == broker.port
        assert (await read_inputs(ready["ports"]["modbus"]))[:2] == [0, 1]
        await eventually(lambda: sum("signals" in each for each in line.journal("opcua")) >= 20, "twenty ticks")
        await eventually(lambda: sum("acked" in each for each in line.journal("mqtt")) >= 20, "acknowledged documents")
        assert await line.stop() == 0
        assert not line.ready_file.exists()
        assert not [pid for pid in ready["faces"].values() if alive(pid)]
    times = [each["t"] for each in line.journal("opcua") if "t" in each]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert min(steps) > 0
    assert sorted(steps)[len(steps) // 2] == pytest.approx(50, abs=5)


async def test_a_killed_face_comes_back_on_its_port_with_the_set_point_it_had(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    async with running_line(tmp_path, STEADY, broker.port, "--restart-seconds", "0.5") as line:
        before = line.ready()
        await write_setpoint(before["ports"]["opcua"], 1544.0)
        await read_inputs(before["ports"]["modbus"])
        for face in ("opcua", "modbus"):
            os.kill(before["faces"][face], signal.SIGKILL)
        await eventually(lambda: line.ready()["faces"]["opcua"] not in (None, before["faces"]["opcua"]), "OPC UA again")
        await eventually(lambda: line.ready()["faces"]["modbus"] not in (None, before["faces"]["modbus"]), "Modbus too")
        after = line.ready()
        assert after["ports"] == before["ports"]
        assert after["faces"]["mqtt"] == before["faces"]["mqtt"]
        assert await read_setpoint(after["ports"]["opcua"]) == 1544.0
        assert (await read_inputs(after["ports"]["modbus"]))[:2] == [0, 2]
    starts = [each["pid"] for each in line.journal("opcua") if "start" in each]
    assert starts == [before["faces"]["opcua"], after["faces"]["opcua"]]


async def test_a_stopped_face_delays_nobody_and_goes_on_with_the_present(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    async with running_line(tmp_path, STEADY, broker.port) as line:
        pid = line.ready()["faces"]["opcua"]
        os.kill(pid, signal.SIGSTOP)
        stopped_at = time.time_ns() // 1_000_000
        seen = len(line.journal("mqtt"))
        await eventually(lambda: len(line.journal("mqtt")) > seen + 100, "MQTT documents meanwhile")
        os.kill(pid, signal.SIGCONT)
        going_on = time.time_ns() // 1_000_000
        await eventually(lambda: line.journal("opcua")[-1]["t"] > going_on + 300, "OPC UA values again")
        times = [each["t"] for each in line.journal("opcua") if "t" in each]
        stale = [at for at in times if stopped_at + 100 < at < going_on - 100]
        assert len(stale) <= 8
        assert line.ready()["faces"]["opcua"] == pid


async def test_a_scenario_kills_stalls_and_turns_switches(tmp_path: Path, broker: MosquittoBroker) -> None:
    scenario = STEADY + (
        "duration_seconds: 9\n"
        "faults:\n"
        "  - { kind: server_death, face: modbus, at_seconds: 1, seconds: 1 }\n"
        "  - { kind: server_stall, face: mqtt, at_seconds: 1, seconds: 3 }\n"
        "  - { kind: bad_quality, signal: furnace/oxygen, at_seconds: 1, seconds: 1 }\n"
        "  - { kind: local_change, signal: furnace/temperature_setpoint, value: 1535, at_seconds: 1 }\n"
    )
    async with running_line(tmp_path, scenario, broker.port) as line:
        assert await line.wait() == 0
    assert sum("start" in each for each in line.journal("modbus")) == 2
    sent = [each["t"] for each in line.journal("mqtt") if each.get("topic", "").endswith("annealing") and "t" in each]
    assert max(later - earlier for earlier, later in pairwise(sent)) > 1500
    opcua = [each for each in line.journal("opcua") if "t" in each]
    assert ["line_a/furnace/oxygen"] in [each["bad"] for each in opcua]
    changed = [each["signals"].get("line_a/furnace/temperature_setpoint") for each in opcua]
    assert [value for value in changed if value is not None] == [1530.0, 1535.0]


async def test_without_a_broker_the_other_faces_run(tmp_path: Path) -> None:
    async with running_line(tmp_path, STEADY, free_port()) as line:
        assert (await read_inputs(line.ready()["ports"]["modbus"]))[:2] == [0, 1]


async def test_faults_of_the_scenario_end_with_2_and_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("seed: 1\nsample_millisecond: 100\n")
    process = SimProcess(tmp_path, "run", "--scenario", str(path))
    await process.start()
    assert await process.wait() == 2
    assert "bad.yaml:2: sample_millisecond: unknown key, did you mean 'sample_milliseconds'?" in process.log.read_text()


async def test_a_port_in_use_ends_with_2_and_names_it(tmp_path: Path, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        scenario = project / "configs" / "scenarios" / "steady.yaml"
        places = ("--opcua-port", "0", "--modbus-port", str(port), "--journal", str(tmp_path / "journal"))
        process = SimProcess(tmp_path, "run", "--scenario", str(scenario), *places)
        await process.start()
        assert await process.wait() == 2
    assert process.log.read_text().startswith(f"edged-sim: cannot listen on 127.0.0.1:{port}: Address already in use")


async def test_a_killed_parent_takes_its_faces_along(tmp_path: Path) -> None:
    async with running_line(tmp_path, STEADY, free_port()) as line:
        pids = list(line.ready()["faces"].values())
        await line.stop(signal.SIGKILL)
        async with asyncio.timeout(20):
            while any(alive(pid) for pid in pids):
                await asyncio.sleep(0.05)
