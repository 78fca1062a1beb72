"""A real hub for tests: in this process on a free loopback port, or as a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from edged.clock import SystemClock
from edged.metrics import Metrics
from edged.records import encode_samples
from edged.settings import HubSettings, Secret
from edged.types import BatchKey, Lane, Quality, Sample
from edged_cloud_sync.commands import HubCommands
from edged_cloud_sync.memory import MemorySink
from edged_cloud_sync.uplink import Uplink
from edged_cloud_sync.wire import CONTENT_TYPE, INGEST_PATH, Answer, Envelope, WireBatch, decode_answer, encode_envelope
from edged_hub.app import Hub, open_store
from edged_hub.identities import new_identity
from edged_hub.settings import HubServerSettings
from edged_hub.sqlite_store import SqliteStore
from edged_hub.store import HeldSample, IdentityKind, Period, Role

NODE = "line_a"
SIGNAL = "line_a/furnace/temperature"
START = 1_767_225_600_000_000_000
SECOND = 1_000_000_000
EVERYTHING = Period(0, 2**63 - 1)
MANY = 100_000
DEADLINE_SECONDS = 20.0


def samples(first: int, count: int = 3) -> list[Sample]:
    """`count` samples whose value and time tell them apart from every other."""
    return [
        Sample(SIGNAL, float(number), START + number * 1_000_000, START, Quality.GOOD)
        for number in range(first, first + count)
    ]


def batch(seq: int, count: int = 3, stream: str = "test") -> WireBatch:
    """Batch number `seq` with values of its own."""
    return WireBatch(BatchKey(stream, Lane.PROCESS, seq), count, encode_samples(samples(seq * 1000, count)))


def body(*batches: WireBatch, node: str = NODE) -> bytes:
    """The body of one POST."""
    return encode_envelope(Envelope(node, batches))


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def until(what: str, true: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Returns once `true` is; fails by name at the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                verdict = true()
                if verdict if isinstance(verdict, bool) else await verdict:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError as late:
        raise AssertionError(f"{what} did not come in {DEADLINE_SECONDS:g} s") from late


@dataclass
class RunningHub:
    """A hub in this process."""

    hub: Hub
    store: SqliteStore
    folder: Path

    @property
    def url(self) -> str:
        return self.hub.server.url

    @property
    def admin(self) -> dict[str, str]:
        """Headers of the first user."""
        return bearer((self.folder / "admin.token").read_text().strip())

    async def enroll(self, node: str = NODE) -> str:
        """The new secret of a node."""
        identity, secret = new_identity(IdentityKind.EDGE, node, Role.EDGE, START)
        await self.store.put_identity(identity)
        return secret

    async def history(self) -> list[HeldSample]:
        return list(await self.store.history(SIGNAL, EVERYTHING, MANY))


@asynccontextmanager
async def running_hub(folder: Path, port: int = 0) -> AsyncIterator[RunningHub]:
    """A hub over a file in `folder`, stopped cleanly on the way out."""
    clock = SystemClock()
    store = await open_store(folder, clock)
    settings = HubServerSettings(data_directory=folder, port=port)
    hub = Hub(settings, store, clock, Metrics())
    await hub.start()
    try:
        yield RunningHub(hub, store, folder)
    finally:
        await hub.stop()


class HubProcess:
    """`edged-hub run` as a process; `arguments` are given to every command."""

    def __init__(self, folder: Path, port: int, arguments: Sequence[str] = ()) -> None:
        self.folder = folder
        self.arguments = ("--data", str(folder), *arguments)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder.with_name(f"{folder.name}.log")
        """What it says."""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it answers /readyz."""
        self._process = await command("run", *self.arguments, "--port", str(self.port), log=self.log)
        async with aiohttp.ClientSession() as session:
            await until("the hub", lambda: _ready(session, self.url))

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal and returns the exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()
        assert self._process.returncode is not None
        return self._process.returncode

    async def enroll(self, node: str = NODE) -> str:
        """The new secret of a node, from the command line."""
        return await output("enroll", node, *self.arguments)


@asynccontextmanager
async def hub_process(folder: Path, *arguments: str) -> AsyncIterator[HubProcess]:
    """A hub as a process, gone on the way out."""
    process = HubProcess(folder, free_port(), arguments)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def command(*arguments: str, log: Path | None = None) -> asyncio.subprocess.Process:
    """`edged-hub` with these arguments; what it says goes into a file, or into pipes that the caller reads."""
    words = (sys.executable, "-m", "edged_hub", *arguments)
    if log is None:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=dict(os.environ))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(*words, stdout=file, stderr=file, env=dict(os.environ))


async def output(*arguments: str) -> str:
    """What a successful `edged-hub` command prints."""
    process = await command(*arguments)
    out, fault = await process.communicate()
    assert process.returncode == 0, fault.decode()
    return out.decode().strip()


@dataclass(frozen=True)
class Posted:
    """What came back of one POST."""

    status: int
    retry_after: str
    body: bytes

    @property
    def answer(self) -> Answer:
        return decode_answer(self.body)

    @property
    def fault(self) -> str:
        sentence: str = orjson.loads(self.body)["error"]
        return sentence


async def post(session: aiohttp.ClientSession, url: str, secret: str, data: bytes) -> Posted:
    """One POST to the ingest route."""
    headers = bearer(secret) | {"Content-Type": CONTENT_TYPE}
    async with session.post(url + INGEST_PATH, data=data, headers=headers) as response:
        return Posted(response.status, response.headers.get("Retry-After", ""), await response.read())


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a secret."""
    return {"Authorization": f"Bearer {secret}"}


def no_commands() -> HubCommands:
    """For an uplink whose line takes none."""
    return HubCommands(None, {}, NODE, SystemClock(), Metrics(), allowed=False)


def uplink(
    url: str, secret_file: Path, sink: MemorySink, commands: HubCommands | None = None, **options: object
) -> Uplink:
    """An uplink with short periods."""
    settings = {"url": url, "secret": Secret(file=secret_file), "process_period_seconds": 0.1, "timeout_seconds": 3.0}
    checked = HubSettings.model_validate(settings | options)
    return Uplink(checked, NODE, sink, commands or no_commands(), SystemClock(), Metrics())


async def fetch(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> tuple[int, object]:
    """Status and JSON of one GET."""
    async with session.get(url, headers=headers) as response:
        return response.status, orjson.loads(await response.read())


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url + "/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
