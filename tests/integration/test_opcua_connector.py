"""The OPC UA connector against a real server: qualities, types, writes, polling, browsing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml
from asyncua import ua

from edged.clock import SystemClock
from edged.errors import WriteFailed, WriteUnknown
from edged.ports import Connector
from edged.types import NANOSECONDS_PER_SECOND, Command, Quality, Sample, Seal, ValueType
from edged_connectors.south.opcua import KIND
from edged_connectors.south.opcua_connector import OpcUaConnector
from edged_connectors.south.opcua_options import OpcUaOptions
from tests.integration.connector_contract import collect
from tests.integration.opcua_rig import NAMESPACE, ServerProcess, setup_of, signal_of

SIGNALS = [
    signal_of("reading"),
    signal_of("text", ValueType.STRING),
    signal_of("list"),
    signal_of("setpoint", writable=True),
    signal_of("whole", ValueType.INT, writable=True),
    signal_of("small", ValueType.INT, writable=True),
    signal_of("flag", ValueType.BOOL, writable=True),
    signal_of("absent", writable=True),
]
PATHS = [signal.path for signal in SIGNALS]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """One server for all tests here; none relies on what another left."""
    process = ServerProcess()
    process.start_now()
    yield process
    process.kill_now()


@pytest.fixture
async def connector(server: ServerProcess, tmp_path: Path) -> AsyncIterator[OpcUaConnector]:
    made = OpcUaConnector(setup_of(server.endpoint, SIGNALS, tmp_path))
    await made.connect()
    yield made
    await made.close()


async def next_of(connector: Connector, name: str, reason: str) -> Sample:
    """The next sample of a signal that has the reason."""
    path = f"line_a/test/{name}"
    samples = await collect(connector, lambda found: any(s.signal == path and s.reason == reason for s in found), 10.0)
    return next(s for s in samples if s.signal == path and s.reason == reason)


def order(seal: Seal, name: str, value: float) -> Command:
    """A sealed command of now."""
    now = SystemClock().monotonic()
    return Command(f"line_a/test/{name}", value, "test", now, now + 5.0, "d", seal)


async def test_a_bad_status_travels_without_a_value(server: ServerProcess, connector: OpcUaConnector) -> None:
    await server.order(status="reading", code=ua.StatusCodes.BadSensorFailure, value=3.0)
    sample = await next_of(connector, "reading", "BadSensorFailure")
    assert (sample.value, sample.quality) == (None, Quality.BAD)


async def test_an_uncertain_value_keeps_its_value(server: ServerProcess, connector: OpcUaConnector) -> None:
    await server.order(status="reading", code=ua.StatusCodes.UncertainLastUsableValue, value=3.0)
    sample = await next_of(connector, "reading", "UncertainLastUsableValue")
    assert (sample.value, sample.quality) == (3.0, Quality.UNCERTAIN)


@pytest.mark.parametrize(("value", "reason"), [("nan", "not_a_number"), ("inf", "not_a_number")])
async def test_a_value_that_is_no_number_is_bad(
    server: ServerProcess, connector: OpcUaConnector, value: str, reason: str
) -> None:
    await server.set("reading", value)
    assert (await next_of(connector, "reading", reason)).value is None


async def test_an_array_is_no_value_of_a_signal(connector: OpcUaConnector) -> None:
    assert (await next_of(connector, "list", "wrong_type")).value is None


async def test_a_source_time_of_long_ago_is_kept_for_a_change(server: ServerProcess, connector: OpcUaConnector) -> None:
    await server.set("reading", 1.0)
    await collect(connector, lambda found: any(s.value == 1.0 for s in found), 10.0)
    await server.order(age="reading", value=2.0, seconds=86_400)
    samples = await collect(connector, lambda found: any(s.value == 2.0 for s in found), 10.0)
    age = samples[-1].receive_time - samples[-1].source_time
    assert 86_399 < age / NANOSECONDS_PER_SECOND < 86_410


async def test_an_old_value_that_still_holds_is_fresh_when_polled(
    server: ServerProcess, connector: OpcUaConnector
) -> None:
    await server.order(age="reading", value=2.0, seconds=86_400)
    (sample,) = (await connector.poll(["line_a/test/reading"])).samples
    assert (sample.value, sample.quality) == (2.0, Quality.GOOD)
    assert abs(sample.receive_time - sample.source_time) < 10 * NANOSECONDS_PER_SECOND


async def test_poll_tells_each_signals_own_status(server: ServerProcess, connector: OpcUaConnector) -> None:
    samples = {s.signal: s for s in (await connector.poll(PATHS)).samples}
    assert samples["line_a/test/absent"].reason == "BadNodeIdUnknown"
    assert samples["line_a/test/setpoint"].quality == Quality.GOOD
    assert list(samples) == PATHS


@pytest.mark.parametrize(
    ("name", "value", "held"), [("setpoint", 2.5, 2.5), ("whole", -7.0, -7), ("small", 255.0, 255), ("flag", 1.0, True)]
)
async def test_a_write_takes_the_type_of_its_node(
    server: ServerProcess, tmp_path: Path, name: str, value: float, held: object
) -> None:
    setup = setup_of(server.endpoint, SIGNALS, tmp_path)
    connector = OpcUaConnector(setup)
    try:
        await connector.connect()
        await connector.write(order(setup.seal, name, value))
        assert (await server.order(get=name))["value"] == held
    finally:
        await connector.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("whole", 1.5),
        ("whole", 2.0**31),
        ("small", -1.0),
        ("small", 256.0),
        ("flag", 2.0),
        ("setpoint", float("nan")),
        ("setpoint", float("inf")),
        ("absent", 1.0),
        ("reading", 1.0),
        ("nowhere", 1.0),
    ],
)
async def test_a_value_that_the_node_cannot_hold_is_not_sent(
    server: ServerProcess, tmp_path: Path, name: str, value: float
) -> None:
    setup = setup_of(server.endpoint, SIGNALS, tmp_path)
    connector = OpcUaConnector(setup)
    try:
        await connector.connect()
        with pytest.raises(WriteFailed):
            await connector.write(order(setup.seal, name, value))
    finally:
        await connector.close()


async def test_a_server_that_rejects_a_write_is_heard(server: ServerProcess, tmp_path: Path) -> None:
    setup = setup_of(server.endpoint, [signal_of("reading", writable=True)], tmp_path)
    connector = OpcUaConnector(setup)
    try:
        await connector.connect()
        with pytest.raises(WriteFailed, match=r"rejected the write \(Bad"):
            await connector.write(order(setup.seal, "reading", 1.0))
    finally:
        await connector.close()


async def test_a_write_without_an_answer_is_unknown(tmp_path: Path) -> None:
    server = ServerProcess()
    await server.start()
    setup = setup_of(server.endpoint, SIGNALS, tmp_path)
    connector = OpcUaConnector(setup)
    try:
        await connector.connect()
        server.stall()
        asyncio.get_running_loop().call_later(0.5, server.kill_now)
        with pytest.raises(WriteUnknown):
            await connector.write(order(setup.seal, "setpoint", 1.0))
    finally:
        await connector.close()
        await server.kill()


async def test_browse_gives_a_stub_that_loads(server: ServerProcess) -> None:
    assert KIND.browse is not None
    stub = await KIND.browse(OpcUaOptions(endpoint=server.endpoint))
    source = yaml.safe_load(stub)["opcua"]
    assert OpcUaOptions(**source["options"]).endpoint == server.endpoint
    signals = {signal["name"]: signal for signal in source["signals"]}
    reading = signals["furnace/reading"]
    assert reading["address"] == {"node": f"nsu={NAMESPACE};s=reading"}
    assert (reading["unit"], reading["low"], reading["high"], reading["type"]) == ("degC", 1200.0, 1700.0, "float")
    assert "writable" not in reading
    assert signals["furnace/setpoint"]["writable"] is True
    assert {signals[f"furnace/{n}"]["type"] for n in ("whole", "small")} == {"int"}
    assert (signals["furnace/flag"]["type"], signals["furnace/text"]["type"]) == ("bool", "string")
    assert "furnace/list" not in signals
