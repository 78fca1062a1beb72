"""`edged sparkplug-check` at a real broker: our own node passes, live and from the recording; faults are found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from edged.settings import BrokerSettings
from edged.types import Lane
from edged_connectors.north.check_capture import CaptureReader
from tests.conftest import PROJECT
from tests.integration.brokers import MosquittoBroker, mosquitto_broker
from tests.integration.sparkplug_bench import Bench
from tests.integration.sparkplug_host import READY_SECONDS, recording_host
from tests.integration.test_sparkplug_access import Authority, tls_listener
from tests.unit.connectors.sparkplug_line import DEFECT, RUNNING, TEMPERATURE, LineNode
from tests.unit.connectors.sparkplug_mutants import clean

pytestmark = pytest.mark.mosquitto
CLEAN, VIOLATIONS, UNUSABLE = 0, 1, 2
LONG = "30"
"""More seconds than any of these tests lasts: they stop the command when they have seen enough."""
EXIT_SECONDS = 20.0


Begin = Callable[..., Awaitable["Check"]]


class Check:
    """The command as a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.out = ""
        self.err = ""

    async def kill(self) -> None:
        """For tests that failed before the end."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    async def stop(self) -> int:
        """As by Ctrl-C; the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        return await self.end()

    async def end(self) -> int:
        """Waits until it stops by itself; the exit status."""
        async with asyncio.timeout(EXIT_SECONDS):
            out, err = await self._process.communicate()
        self.out, self.err = out.decode(), err.decode()
        assert "Traceback" not in self.err, self.err
        assert self._process.returncode is not None
        return self._process.returncode


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """Starts the command; whatever still runs after the test is killed."""
    begun: list[Check] = []

    async def start(*arguments: object) -> Check:
        begun.append(await spawned(*arguments))
        return begun[-1]

    yield start
    for check in begun:
        await check.kill()


async def spawned(*arguments: object) -> Check:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edged.cli",
        "sparkplug-check",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT,
        env=os.environ,
    )
    return Check(process)


async def subscribed(broker: MosquittoBroker, count: int) -> None:
    """Waits until so many subscriptions of the command have reached the broker."""
    async with asyncio.timeout(READY_SECONDS):
        while len(re.findall(r"spBv1\.0/\S*# \(QoS 2\)", broker.log())) < count:
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def chatty_broker(folder: Path) -> AsyncIterator[MosquittoBroker]:
    async with mosquitto_broker(folder, extra=["log_type all"]) as broker:
        yield broker


async def recorded(capture: Path, count: int) -> None:
    """Waits until the command has taken so many messages."""
    async with asyncio.timeout(READY_SECONDS):
        while len(list(CaptureReader(capture))) < count:
            await asyncio.sleep(0.02)


async def settle(bench: Bench) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not bench.node.status().online or bench.sink.depth(Lane.PROCESS):
            await asyncio.sleep(0.02)


async def test_our_own_node_passes_live_and_from_the_recording(tmp_path: Path, begin: Begin) -> None:
    capture = tmp_path / "session.jsonl"
    async with chatty_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        check = await begin(f"127.0.0.1:{broker.port}", "--seconds", LONG, "--record", capture, "--from-birth")
        await subscribed(broker, 1)
        await host.state("scada", online=True, timestamp=1_790_000_000_000)
        for _ in range(2):
            bench = Bench(tmp_path, [BrokerSettings(port=broker.port)])
            bench.put((TEMPERATURE, 1500.0), (RUNNING, True), (DEFECT, "bubble"))
            async with bench.running():
                for number in range(20):
                    await settle(bench)
                    bench.put((TEMPERATURE, 1500.0 + number), (RUNNING, number % 2 == 0))
                await settle(bench)
        await host.until(lambda: len(host.of("NDEATH")) == 2)
        await recorded(capture, sum(not message.topic.startswith("edged/") for message in host.heard))
        assert await check.stop() == CLEAN, check.out
    assert re.search(r"^  glassworks/line_a +\d+ +8 +\d+ +0 +0$", check.out, re.MULTILINE)
    assert re.search(r"^  host scada +1 ", check.out, re.MULTILINE)
    again = await begin("--capture", capture, "--from-birth")
    assert await again.end() == CLEAN, again.out
    assert again.out == check.out


async def test_a_node_that_lives_already_is_asked_for_its_births(tmp_path: Path, begin: Begin) -> None:
    async with chatty_broker(tmp_path / "broker") as broker:
        bench = Bench(tmp_path, [BrokerSettings(port=broker.port)])
        async with bench.running():
            await settle(bench)
            address = f"127.0.0.1:{broker.port}"
            late = await begin(address, "--seconds", LONG)
            await subscribed(broker, 1)
            asking = await begin(address, "--seconds", LONG, "--rebirth", "--group", "glassworks", "--node", "line_a")
            await subscribed(broker, 2)
            async with asyncio.timeout(READY_SECONDS):
                while not bench.node.status().rebirths:
                    bench.put((TEMPERATURE, 1501.0))
                    await asyncio.sleep(0.05)
            await settle(bench)
        assert await asking.stop() == CLEAN, asking.out
        assert await late.stop() == CLEAN, late.out
    assert "no NBIRTH" not in late.out


async def test_retained_births_and_loud_data_are_seen_as_they_were_published(tmp_path: Path, begin: Begin) -> None:
    async with chatty_broker(tmp_path / "broker") as broker, recording_host(broker.port) as host:
        captures = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
        options = (f"127.0.0.1:{broker.port}", "--seconds", LONG, "--record")
        check = await begin(*options, captures[0])
        old = await begin(*options, captures[1], "--protocol", "3.1.1")
        await subscribed(broker, 2)
        births = LineNode().births()
        for number, message in enumerate(births):
            await host.send(message.topic, message.payload, qos=int(number == 1), retain=number == 2)
        await host.send("STATE/scada", b"ONLINE", qos=1)
        for capture in captures:
            await recorded(capture, len(births) + 1)
        assert await check.stop() == VIOLATIONS
        assert await old.stop() == VIOLATIONS
    found = re.findall(r"^\S+Z (\S+)(?: seq \d+)?: (\w+):", check.out, re.MULTILINE)
    assert found == [
        ("spBv1.0/glassworks/DBIRTH/line_a/furnace", "qos"),
        ("spBv1.0/glassworks/DBIRTH/line_a/forming", "retained"),
        ("STATE/scada", "not_retained"),
    ]
    assert re.findall(r"^\S+Z \S+(?: seq \d+)?: (\w+):", old.out, re.MULTILINE) == ["qos"]


async def test_it_ends_by_itself_with_what_it_heard(tmp_path: Path, begin: Begin) -> None:
    async with chatty_broker(tmp_path / "broker") as broker:
        check = await begin(f"127.0.0.1:{broker.port}", "--seconds", "1")
        assert await check.end() == UNUSABLE
        assert check.out == "0 messages: no violations\n"
        capture = tmp_path / "lost.jsonl"
        lost = await begin(f"127.0.0.1:{broker.port}", "--seconds", LONG, "--record", capture)
        await subscribed(broker, 2)
        async with recording_host(broker.port) as host:
            message = clean()[0]
            await host.send(message.topic, message.payload)
            await recorded(capture, 1)
            await broker.stop()
            assert await lost.end() == UNUSABLE
    assert "1 messages: no violations" in lost.out
    assert f"edged: broker 127.0.0.1:{broker.port}: Disconnected" in lost.err


async def test_tls_passwords_and_refusals(tmp_path: Path, begin: Begin) -> None:
    authority = Authority(tmp_path, "authority")
    stranger = Authority(tmp_path, "stranger")
    certificate, key = authority.sign("viewer")
    listener = tls_listener(authority, clients=True)
    async with mosquitto_broker(tmp_path / "broker", listener=listener) as broker:
        address = (f"localhost:{broker.port}", "--seconds", "1")
        ours = ("--certificate", certificate, "--key", key)
        good = await begin(*address, "--authority", authority.certificate, *ours)
        assert await good.end() == UNUSABLE
        assert good.out == "0 messages: no violations\n"
        assert good.err.endswith("for 1 s\n")
        for arguments, text in (
            (("--authority", stranger.certificate, *ours), "certificate verify failed"),
            (("--authority", authority.certificate), "certificate"),
            (("--authority", tmp_path / "absent.pem"), "absent.pem"),
        ):
            bad = await begin(*address, *arguments)
            assert await bad.end() == UNUSABLE
            assert text in bad.err
