"""Plays a recording through the real OPC UA face, at any speed, and writes the edged configuration that reads it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import orjson

from edged.clock import Clock, SystemClock
from edged.log import get_logger
from edged.types import NANOSECONDS_PER_MILLISECOND, ValueType
from edged_sim.journal import Journal
from edged_sim.link import Tick
from edged_sim.opcua_face import OpcUaFace
from edged_sim.ports import claim_port
from edged_sim.recording import Column, Recording, Row
from edged_sim.tags import Face, Tag

LINE = "replay"
EQUIPMENT = "recording"
NAMESPACE = "urn:edged:sim:replay"
TIME_TAG = Tag(
    f"{EQUIPMENT}/time", Face.OPCUA, "ms", description="recorded time, ms UTC", type=ValueType.INT, line=LINE
)
MILLISECONDS_PER_SECOND = 1000.0
SNIFFED_ROWS = 100
PUBLISHING_MILLISECONDS = 200
LONGEST_SAMPLING_MILLISECONDS = 100
LINGER_SECONDS = 2.0
"""Time for the last values to reach subscribers before the server goes."""

log = get_logger("replay")


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a recording is played. `speed` is recorded seconds per second, `rows_per_second` ignores recorded times."""

    journal: Path
    speed: float = 1.0
    rows_per_second: float | None = None
    opcua_port: int = 0
    config_out: Path | None = None
    ready_file: Path | None = None
    limit: int | None = None
    wait_for_client: bool = True
    leave_when_done: bool = False


async def replay(recording: Recording, options: ReplayOptions) -> None:
    """Plays until the end or SIGINT/SIGTERM; after the end the last values stay readable until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    player = Player(recording, options, SystemClock())
    async with asyncio.TaskGroup() as group:
        playing = group.create_task(player.run(stop), name="replay.play")
        ended = group.create_task(stop.wait(), name="replay.stop")
        await asyncio.wait({playing, ended}, return_when=asyncio.FIRST_COMPLETED)
        playing.cancel()
        ended.cancel()
    if options.ready_file is not None:
        options.ready_file.unlink(missing_ok=True)


class Player:
    """One recording, one server, one pass."""

    def __init__(self, recording: Recording, options: ReplayOptions, clock: Clock) -> None:
        self._recording = recording
        self._options = options
        self._clock = clock
        self._port = claim_port(options.opcua_port)
        self._tags = [*(_tag(column) for column in recording.columns), TIME_TAG]
        self._stamp = 0
        self._first = 0
        self._played = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Serves and plays. Raises RecordingFault at the row that cannot be read."""
        journal = Journal(self._options.journal / "opcua.jsonl", "opcua", self._clock)
        face = OpcUaFace(self._tags, journal, lambda _path, _value: None, self._clock)
        await face.prepare(self._port, NAMESPACE)
        rows = islice(self._recording.rows(), self._options.limit)
        ahead = list(islice(rows, SNIFFED_ROWS))
        try:
            await self._offer(face, ahead[0])
            await face.listen()
            self._announce(_period_milliseconds(ahead, self._options))
            await self._play(face, _joined(ahead[1:], rows))
            self._write_ready_file(done=True)
            log.info("recording_ended", rows=self._played)
            if self._options.leave_when_done:
                await self._clock.sleep(LINGER_SECONDS)
            else:
                await stop.wait()
        finally:
            await face.stop()
            journal.close()

    async def _play(self, face: OpcUaFace, rows: Iterator[Row]) -> None:
        if self._options.wait_for_client:
            log.info("waiting_for_client", endpoint=f"opc.tcp://127.0.0.1:{self._port}/")
            await face.subscribed.wait()
        due, previous = self._clock.monotonic(), self._first
        for row in rows:
            due += self._pause_seconds(previous, row.milliseconds)
            previous = row.milliseconds
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            await self._offer(face, row)

    async def _offer(self, face: OpcUaFace, row: Row) -> None:
        if not self._played:
            self._first = row.milliseconds
        self._played += 1
        self._stamp = max(self._clock.now() // NANOSECONDS_PER_MILLISECOND, self._stamp + 1)
        await face.tick(Tick(self._stamp, [*row.values, row.milliseconds]))

    def _pause_seconds(self, previous: int, current: int) -> float:
        if self._options.rows_per_second is not None:
            return 1.0 / self._options.rows_per_second
        return max(0.0, (current - previous) / MILLISECONDS_PER_SECOND / self._options.speed)

    def _announce(self, period: float) -> None:
        if self._options.config_out is not None:
            self._options.config_out.parent.mkdir(parents=True, exist_ok=True)
            self._options.config_out.write_text(configuration(self._tags, self._port, period), encoding="utf-8")
        self._write_ready_file(done=False)
        log.info("recording_ready", recording=self._recording.title, signals=len(self._tags), port=self._port)

    def _write_ready_file(self, *, done: bool) -> None:
        path = self._options.ready_file
        if path is None:
            return
        document = {
            "started_at": self._clock.now(),
            "pid": os.getpid(),
            "ports": {"opcua": self._port},
            "faces": {"opcua": os.getpid()},
            "rows_played": self._played,
            "done": done,
        }
        partial = path.with_suffix(".partial")
        partial.write_bytes(orjson.dumps(document))
        partial.replace(path)


def configuration(tags: Sequence[Tag], port: int, period_milliseconds: float) -> str:
    """The edged configuration file that reads the replayed signals; what varies is taken from the environment."""
    sampling = max(1, min(LONGEST_SAMPLING_MILLISECONDS, int(period_milliseconds / 2)))
    head = CONFIGURATION.format(
        line=LINE, port=port, publishing=PUBLISHING_MILLISECONDS, sampling=sampling, equipment=EQUIPMENT
    )
    return head + "".join(f"      - {_signal(tag)}\n" for tag in tags)


CONFIGURATION = """\
# A recording, played by edged-sim replay. Run: edged run FILE

site: glassworks
line: {line}
data_directory: ${{EDGED_DATA_DIRECTORY:-{line}-data}}

http:
  host: 127.0.0.1
  port: ${{EDGED_HTTP_PORT:-8470}}

hub:
  url: ${{EDGED_HUB_URL:-http://127.0.0.1:8480}}
  secret: {{ file: "${{EDGED_HUB_SECRET:-hub-secret}}" }}   # made by edged-hub enroll {line}

sparkplug:
  brokers:
    - {{ host: 127.0.0.1, port: "${{EDGED_MQTT_PORT:-1883}}" }}

sources:
  {equipment}:
    kind: opcua
    options:
      endpoint: opc.tcp://127.0.0.1:${{EDGED_OPCUA_PORT:-{port}}}/
      publishing_milliseconds: {publishing}
      sampling_milliseconds: {sampling}
    signals:
"""


def _signal(tag: Tag) -> str:
    """One signal in flow style; JSON is YAML."""
    fields: dict[str, object] = {
        "name": tag.path,
        "address": {"node": f"nsu={NAMESPACE};s={tag.node}"},
        "unit": tag.unit,
        "type": tag.type.value,
        "description": tag.description,
    }
    return orjson.dumps(fields).decode()


def _tag(column: Column) -> Tag:
    return Tag(
        f"{EQUIPMENT}/{column.name}", Face.OPCUA, column.unit, description=column.title, type=column.type, line=LINE
    )


def _joined(first: Sequence[Row], rest: Iterator[Row]) -> Iterator[Row]:
    yield from first
    yield from rest


def _period_milliseconds(rows: Sequence[Row], options: ReplayOptions) -> float:
    """How far apart rows will usually be offered."""
    if options.rows_per_second is not None:
        return MILLISECONDS_PER_SECOND / options.rows_per_second
    steps = [later.milliseconds - earlier.milliseconds for earlier, later in pairwise(rows)]
    return max(0.0, median(steps)) / options.speed if steps else LONGEST_SAMPLING_MILLISECONDS
