"""One drill of one gateway: the same source, broker and listener for each, and what breaks."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.contest import MEASURED_CORE, OTHER_CORE
from bench.contestant import COUNTERS, GATEWAY, PERIOD_SECONDS, Contestant, Value
from bench.line import LineStack, wall_milliseconds
from bench.listener import Listener
from bench.peer_judgement import Disturbance, Judgement, judge
from bench.peer_source import read_journal
from bench.processes import Process, descendants, free_port, listens, mosquitto, wait_until, write_mosquitto_config

SOURCE = "source"
BROKER = "broker"
SETTLE_SECONDS = 8.0
STEADY_SECONDS = 30.0
BROKER_AWAY_SECONDS = 20.0
GATEWAY_KILLED_AFTER_SECONDS = 10.0
GATEWAY_AWAY_SECONDS = 2.0
SERVER_AWAY_SECONDS = 10.0
STALL_SECONDS = 5.0
GIVEN_UP_SECONDS = 180.0
"""Whoever is silent for longer is taken as silent for good."""
AFTER_SECONDS = 6.0
PUBLISHED_SECONDS = 2.0
QUIET_SECONDS = 4.0
DRAIN_LIMIT_SECONDS = 60.0
POLL_SECONDS = 0.2
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Cost:
    """What the gateway's processes took in one window."""

    values: int
    cpu_seconds: float
    seconds: float
    resident_bytes: int

    @property
    def microseconds_per_value(self) -> float:
        return self.cpu_seconds / self.values * 1e6 if self.values else float("nan")

    @property
    def core_percent(self) -> float:
        return self.cpu_seconds / self.seconds * 100.0


class Course:
    """Runs the processes; `values` is what the listener has decoded so far."""

    def __init__(self, contestant: Contestant, folder: Path) -> None:
        self.line = LineStack(folder)
        self.contestant = contestant
        self.values: list[Value] = []
        self._journal = self.line.folder / "source.journal"
        self._port = free_port()
        self._listener: Listener | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        self.contestant.close()
        self.line.stop()

    def start(self) -> None:
        """Everything runs and the first value has come."""
        self.start_broker()
        self._listener = Listener(self.line.mqtt_port)
        self.start_source()
        gateway = self.start_gateway()
        wait_until("the first value at the broker", self._listen, gateway, GIVEN_UP_SECONDS)

    def start_broker(self) -> None:
        """The broker, for the first time or again."""
        path = mosquitto()
        assert path is not None, "the command asked before"
        config = write_mosquitto_config(self.line.folder, self.line.mqtt_port)
        if self.contestant.access_list:
            access = self.line.folder / "access"
            access.write_text(self.contestant.access_list, encoding="ascii")
            config.write_text(f"{config.read_text(encoding='utf-8')}acl_file {access}\n", encoding="utf-8")
        broker = self.line.start(BROKER, [path, "-c", str(config)], core=OTHER_CORE)
        wait_until("the broker", lambda: listens(self.line.mqtt_port), broker)

    def start_source(self) -> None:
        """The OPC UA server, for the first time or again; it listens when this returns."""
        arguments = [sys.executable, "-m", "bench.peer_source", "--port", self._port, "--counters", COUNTERS]
        arguments += ["--period-seconds", PERIOD_SECONDS, "--journal", self._journal]
        source = self.line.start(SOURCE, [str(word) for word in arguments], core=OTHER_CORE)
        wait_until("the OPC UA server", lambda: listens(self._port), source)

    def start_gateway(self) -> Process:
        """The gateway, for the first time or again."""
        return self.contestant.start(self.line, f"opc.tcp://127.0.0.1:{self._port}/", MEASURED_CORE)

    def offered(self) -> dict[int, int]:
        """The source's journal so far."""
        return read_journal(self._journal)

    def listen_for(self, seconds: float) -> None:
        """Decodes what comes for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            self._listen()

    def listen_until_data(self, disturbance: Disturbance) -> None:
        """Until data has come after the return, or it is too late."""
        deadline = time.monotonic() + GIVEN_UP_SECONDS
        checked = 0
        while time.monotonic() < deadline:
            self.listen_for(POLL_SECONDS)
            offered = self.offered()
            fresh = self.values[checked:]
            checked = len(self.values)
            if any(
                value.at >= disturbance.returned_at and offered.get(value.number, 0) >= disturbance.fresh_from
                for value in fresh
            ):
                return

    def drain(self) -> None:
        """Stops the source and listens until nothing comes any more."""
        self.listen_for(PUBLISHED_SECONDS)
        self.line.processes[SOURCE].stop()
        deadline = time.monotonic() + DRAIN_LIMIT_SECONDS
        before = -1
        while len(self.values) != before and time.monotonic() < deadline:
            before = len(self.values)
            self.listen_for(QUIET_SECONDS)

    def measure(self, seconds: float) -> Cost:
        """CPU, memory and values of the gateway in a window."""
        gateway = self.line.processes[GATEWAY]
        values, cpu, began = len(self.values), gateway.cpu_seconds(), time.monotonic()
        self.listen_for(seconds)
        values, cpu = len(self.values) - values, gateway.cpu_seconds() - cpu
        return Cost(values, cpu, time.monotonic() - began, resident_bytes(gateway.pid))

    def _listen(self) -> bool:
        assert self._listener is not None, "start() makes it"
        for at, topic, payload in self._listener.take():
            self.values += [Value(counter, number, at) for counter, number in self.contestant.decode(topic, payload)]
        return bool(self.values)


def resident_bytes(pid: int) -> int:
    """RSS of a process and its descendants."""
    pages = 0
    for one in (pid, *descendants(pid)):
        status = Path(f"/proc/{one}/statm")
        pages += int(status.read_text(encoding="ascii").split()[1]) if status.exists() else 0
    return pages * PAGE_BYTES


def steady(_course: Course) -> Disturbance | None:
    """Nothing breaks."""
    return None


def broker_away(course: Course) -> Disturbance:
    """The broker stops cleanly and comes back after 20 s."""
    course.line.processes[BROKER].stop()
    course.listen_for(BROKER_AWAY_SECONDS)
    course.start_broker()
    return Disturbance(wall_milliseconds())


def server_killed(course: Course) -> Disturbance:
    """SIGKILL of the OPC UA server, which comes back after 10 s."""
    killed = wall_milliseconds()
    course.line.processes[SOURCE].kill()
    course.listen_for(SERVER_AWAY_SECONDS)
    course.start_source()
    returned = wall_milliseconds()
    return Disturbance(returned, (killed, returned))


def server_stalled(course: Course) -> Disturbance:
    """SIGSTOP of the OPC UA server for 5 s."""
    source = course.line.processes[SOURCE]
    stopped = wall_milliseconds()
    source.signal(signal.SIGSTOP)
    course.listen_for(STALL_SECONDS)
    source.signal(signal.SIGCONT)
    returned = wall_milliseconds()
    return Disturbance(returned, (stopped, returned))


def gateway_killed(course: Course) -> Disturbance:
    """SIGKILL of the gateway while the broker is away for 20 s; it is started again after 2 s."""
    course.line.processes[BROKER].stop()
    course.listen_for(GATEWAY_KILLED_AFTER_SECONDS)
    killed = wall_milliseconds()
    course.line.processes[GATEWAY].kill()
    course.listen_for(GATEWAY_AWAY_SECONDS)
    course.start_gateway()
    again = wall_milliseconds()
    course.listen_for(BROKER_AWAY_SECONDS - GATEWAY_KILLED_AFTER_SECONDS - GATEWAY_AWAY_SECONDS)
    course.start_broker()
    return Disturbance(wall_milliseconds(), (killed, again))


@dataclass(frozen=True, slots=True)
class PeerDrill:
    """One thing that breaks."""

    name: str
    what: str
    act: Callable[[Course], Disturbance | None]


DRILLS = (
    PeerDrill("steady", f"nothing breaks, {STEADY_SECONDS:.0f} s", steady),
    PeerDrill("broker-away", "clean stop of the broker, 20 s", broker_away),
    PeerDrill("server-killed", "SIGKILL of the OPC UA server, 10 s", server_killed),
    PeerDrill("server-stalled", "SIGSTOP of the OPC UA server, 5 s", server_stalled),
    PeerDrill("gateway-killed", "SIGKILL of the gateway while the broker is away, 20 s", gateway_killed),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each receiver of one contestant got in one drill; the cost of the steady one."""

    judged: Mapping[str, Judgement]
    cost: Cost | None


def perform(contestant: Contestant, drill: PeerDrill, folder: Path) -> Outcome:
    """Starts everything, breaks one thing, lets it heal, empties the queues, judges. Raises StackFailed."""
    with Course(contestant, folder) as course:
        course.start()
        course.listen_for(SETTLE_SECONDS)
        first = max(course.offered())
        disturbance = drill.act(course)
        cost = course.measure(STEADY_SECONDS) if disturbance is None else None
        if disturbance is not None:
            course.listen_until_data(disturbance)
            course.listen_for(AFTER_SECONDS)
        last = max(course.offered())
        course.drain()
        window = {number: at for number, at in course.offered().items() if first <= number <= last}
        received: dict[str, Sequence[Value]] = {contestant.name: course.values}
        received.update(contestant.held_elsewhere(course.line))
        return Outcome({name: judge(window, COUNTERS, held, disturbance) for name, held in received.items()}, cost)
