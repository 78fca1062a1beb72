"""The OPC UA face, seen by a client: values, units, source times, writes, guards; and its journal says the same."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

from edged.clock import VirtualClock
from edged.types import NANOSECONDS_PER_MILLISECOND, Value
from edged_sim.journal import Journal
from edged_sim.link import LocalSet, Security, Tick
from edged_sim.opcua_face import OpcUaFace
from edged_sim.plant import Plant
from edged_sim.schedule import Sensors
from edged_sim.tags import NAMESPACE, Face, tags_of
from tests.integration.brokers import free_port
from tests.integration.sim_rig import eventually, journal_lines

TAGS = tags_of(Face.OPCUA)
SETPOINT = "furnace.temperature_setpoint"
SETPOINT_SIGNAL = "line_a/furnace/temperature_setpoint"
START = 1_767_225_600_000


class Rig:
    """A face whose ticks the test sends."""

    def __init__(self, folder: Path, security: Security | None = None) -> None:
        self.port = free_port()
        self.path = folder / "opcua.jsonl"
        self.writes: list[tuple[str, Value]] = []
        self.clock = VirtualClock()
        self.journal = Journal(self.path, "opcua", self.clock)
        self.face = OpcUaFace(TAGS, self.journal, self._note, self.clock, security)
        self._plant, self._sensors = Plant(1), Sensors(1, ())

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def tick(self, milliseconds: int, **changes: Value | None) -> None:
        """Readings of the plant, with some replaced."""
        self._plant.advance(0.1)
        readings = self._sensors.read(self._plant.readings(), 0.0)
        values = [changes.get(tag.name, readings[tag.path]) for tag in TAGS]
        await self.face.tick(Tick(milliseconds, values))

    def lines(self, key: str) -> list[dict[str, Any]]:
        return [line for line in journal_lines(self.path) if key in line]

    def _note(self, path: str, value: Value) -> None:
        self.writes.append((path, value))


class Heard:
    """What a subscriber was told: (node, time) -> value."""

    def __init__(self) -> None:
        self.values: list[tuple[str, int, Any, bool]] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        told = data.monitored_item.Value
        self.values.append(
            (node.nodeid.Identifier, milliseconds(told.SourceTimestamp), value, told.StatusCode.is_good())
        )


@contextlib.asynccontextmanager
async def serving(folder: Path, security: Security | None = None) -> AsyncIterator[Rig]:
    rig = Rig(folder, security)
    await rig.face.prepare(rig.port)
    await rig.tick(START)
    await rig.face.listen()
    try:
        yield rig
    finally:
        await rig.face.stop()
        rig.journal.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(tmp_path) as serving_rig:
        yield serving_rig


def milliseconds(time: datetime) -> int:
    assert time.microsecond % 1000 == 0
    return round(time.timestamp() * 1000)


async def node_of(client: Client, name: str) -> Any:
    index = await client.get_namespace_index(NAMESPACE)
    return client.get_node(ua.NodeId(name, index))


async def test_a_subscriber_is_told_exactly_what_the_journal_says(rig: Rig) -> None:
    heard = Heard()
    async with Client(rig.endpoint) as client:
        nodes = [await node_of(client, tag.node) for tag in TAGS]
        subscription = await client.create_subscription(20, heard)
        await subscription.subscribe_data_change(nodes, queuesize=100)
        await eventually(lambda: len(heard.values) >= len(TAGS), "the first values")
        for number in range(1, 41):
            await rig.tick(START + 100 * number)
        offered = [
            (signal.removeprefix("line_a/").replace("/", "."), line["t"], value, True)
            for line in rig.lines("signals")
            for signal, value in line["signals"].items()
        ]
        await eventually(lambda: len(heard.values) >= len(offered), "every value")
    assert sorted(heard.values) == sorted(offered)
    assert len(offered) > 40 * 18
    assert rig.lines("signals")[5]["unchanged"] == [SETPOINT_SIGNAL]


async def test_times_are_unique_and_rising_even_when_the_clock_stands_or_steps_back(rig: Rig) -> None:
    for at in (START, START, START - 5000, START + 7):
        await rig.tick(at)
    times = [line["t"] for line in rig.lines("signals")]
    assert times == [START, START + 1, START + 2, START + 3, START + 7]


async def test_a_reader_finds_folders_ranges_and_units(rig: Rig) -> None:
    async with Client(rig.endpoint) as client:
        index = await client.get_namespace_index(NAMESPACE)
        furnace = await client.nodes.objects.get_child([f"{index}:Line_A", f"{index}:Furnace"])
        assert len(await furnace.get_variables()) == len(TAGS) == 20
        temperature = await furnace.get_child(f"{index}:temperature")
        assert temperature.nodeid == ua.NodeId("furnace.temperature", index)
        span = await (await temperature.get_child("0:EURange")).read_value()
        unit = await (await temperature.get_child("0:EngineeringUnits")).read_value()
        assert (span.Low, span.High, unit.DisplayName.Text) == (1200.0, 1700.0, "degC")
        assert (await temperature.read_description()).Text == "control thermocouple in the crown"


async def test_a_written_set_point_is_journalled_told_and_kept_over_the_next_ticks(rig: Rig) -> None:
    rig.clock.jump(20.0)
    async with Client(rig.endpoint) as client:
        node = await node_of(client, SETPOINT)
        await node.write_value(1541.5)
        assert rig.writes == [("furnace/temperature_setpoint", 1541.5)]
        stamp = rig.clock.now() // NANOSECONDS_PER_MILLISECOND
        assert rig.lines("write") == [{"write": SETPOINT_SIGNAL, "value": 1541.5, "at": rig.clock.now()}]
        assert rig.lines("signals")[-1]["signals"] == {SETPOINT_SIGNAL: 1541.5}
        assert rig.lines("signals")[-1]["t"] == stamp
        await rig.tick(stamp + 100)
        read = await node.read_data_value()
        assert (read.Value.Value, milliseconds(read.SourceTimestamp)) == (1541.5, stamp + 100)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1199.0, 1701.0])
async def test_a_set_point_that_the_plant_cannot_take_is_refused(rig: Rig, value: float) -> None:
    async with Client(rig.endpoint) as client:
        node = await node_of(client, SETPOINT)
        with pytest.raises(ua.uaerrors.BadOutOfRange):
            await node.write_value(value)
        assert await node.read_value() == 1530.0
    assert not rig.writes
    assert not rig.lines("write")


async def test_measurements_and_wrong_types_are_refused(rig: Rig) -> None:
    async with Client(rig.endpoint) as client:
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await (await node_of(client, "furnace.pressure")).write_value(1.0)
        with pytest.raises(ua.uaerrors.BadTypeMismatch):
            await (await node_of(client, SETPOINT)).write_value("hot")
    assert not rig.lines("write")


async def test_a_dead_sensor_has_a_bad_status_and_comes_back(rig: Rig) -> None:
    heard = Heard()
    async with Client(rig.endpoint) as client:
        subscription = await client.create_subscription(20, heard)
        await subscription.subscribe_data_change(await node_of(client, "furnace.oxygen"), queuesize=100)
        await eventually(lambda: len(heard.values) == 1, "the first value")
        await rig.tick(START + 100, oxygen=None)
        await rig.tick(START + 200, oxygen=None)
        await rig.tick(START + 300, oxygen=2.5)
        await eventually(lambda: len(heard.values) == 3, "the change and the return")
    assert heard.values[1:] == [
        ("furnace.oxygen", START + 100, None, False),
        ("furnace.oxygen", START + 300, 2.5, True),
    ]
    assert [line["bad"] for line in rig.lines("signals")[1:]] == [["line_a/furnace/oxygen"], [], []]


async def test_a_change_at_the_panel_is_offered_at_once(rig: Rig) -> None:
    rig.clock.jump(1.0)
    await rig.face.local_set(LocalSet("furnace/temperature_setpoint", 1525.0))
    assert rig.lines("signals")[-1]["signals"] == {SETPOINT_SIGNAL: 1525.0}
    async with Client(rig.endpoint) as client:
        assert await (await node_of(client, SETPOINT)).read_value() == 1525.0
    assert not rig.writes


async def test_only_the_one_user_comes_in(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    async with serving(tmp_path, Security(username="operator", password_file=str(password))) as rig:
        for user, word in (("operator", "wrong"), ("other", "s3cret")):
            client = Client(rig.endpoint)
            client.set_user(user)
            client.set_password(word)
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await client.connect()
            await client.disconnect()
        client = Client(rig.endpoint)
        client.set_user("operator")
        client.set_password("s3cret")
        async with client:
            assert await (await node_of(client, SETPOINT)).read_value() == 1530.0


async def test_a_secured_face_speaks_basic256sha256_only(tmp_path: Path) -> None:
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    host = socket.gethostname()
    for name, uri in (("server", "urn:edged:sim:server"), ("client", "urn:edged:test:client")):
        await setup_self_signed_certificate(
            tmp_path / f"{name}.pem", tmp_path / f"{name}.der", uri, host, uses, {"commonName": name}
        )
    security = Security(
        certificate=str(tmp_path / "server.der"), private_key=str(tmp_path / "server.pem"), required=True
    )
    async with serving(tmp_path, security) as rig:
        client = Client(rig.endpoint)
        client.application_uri = "urn:edged:test:client"
        await client.set_security(
            SecurityPolicyBasic256Sha256, str(tmp_path / "client.der"), str(tmp_path / "client.pem")
        )
        async with client:
            assert await (await node_of(client, SETPOINT)).read_value() == 1530.0
        plain = Client(rig.endpoint)
        with pytest.raises(ua.UaError):
            await plain.connect()
