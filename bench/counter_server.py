"""An OPC UA server whose every value is a counter: the load for benchmarks. Its journal says what it offered.

Sessions, browsing and monitored items are asyncua's. Notifications of the counters are made as one block of bytes per
publish response, so that the source takes next to nothing of the machine: asyncua's own way costs 85 us per value.
Beside the counters stand a slow sine, a set-point and two permissives, for one control loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import signal
from bisect import bisect_right
from collections import deque
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from asyncua import Node, Server, ua
from asyncua.server import subscription_service
from asyncua.server.internal_subscription import InternalSubscription

from bench.notification import Block, Notification, encode_notification, filetime
from bench.turns import Journal, turns

NAMESPACE = "urn:edged:bench"
COUNTER = "c"
PROCESS_VALUE, SET_POINT, PERMISSIVES = "level", "level_setpoint", ("remote", "running")
SINE_SECONDS = 60.0
ITEMS_PER_RESPONSE = 20_000
KEPT_TICKS = 20_000
"""What a subscription that gets no publish request for longer has not taken is gone: longer than any drill."""


class Tick(NamedTuple):
    """One turn in which the counters of a group changed to `value`; its time as the wire has it."""

    number: int
    group: int
    value: int
    time: int


class Ticks:
    """The latest turns; the groups take them one after the other."""

    def __init__(self, groups: int) -> None:
        self._kept: deque[Tick] = deque(maxlen=KEPT_TICKS)
        self.groups = groups
        self.number = 0

    def next(self) -> tuple[int, int]:
        """Group and value of the next turn."""
        return self.number % self.groups, self.number // self.groups + 1

    def add(self, milliseconds: int) -> None:
        """One more turn, at a time in ms UTC."""
        group, value = self.next()
        self.number += 1
        self._kept.append(Tick(self.number, group, value, filetime(milliseconds)))

    def after(self, number: int, count: int) -> list[Tick]:
        """The oldest turns behind a number, at most `count`."""
        first = bisect_right(self._kept, number, key=lambda tick: tick.number)
        return [self._kept[place] for place in range(first, min(first + count, len(self._kept)))]


class CounterSubscription(InternalSubscription):  # type: ignore[misc] # asyncua is untyped here
    """Publishes counters from `ticks`; everything else as asyncua does."""

    ticks: ClassVar[Ticks]
    namespace: ClassVar[int]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._groups: list[list[int]] = [[] for _ in range(self.ticks.groups)]
        self._taken = self.ticks.number

    async def enqueue_datachange_event(self, mid: int, eventdata: Any, maxsize: int) -> None:
        """A counter's value at the time of its monitoring is left out: its next turn tells it."""
        node = self.monitored_item_srv._monitored_items[mid].read_value_id.NodeId  # noqa: SLF001 - no public way
        if node.NamespaceIndex == self.namespace and node.Identifier.startswith(COUNTER):
            self._groups[int(node.Identifier[len(COUNTER) :]) % self.ticks.groups].append(eventdata.ClientHandle)
        else:
            await super().enqueue_datachange_event(mid, eventdata, maxsize)

    async def publish_results(self, requestdata: Any = None) -> bool:
        """Counters first; the rest takes a publish request of its own. True says that the one given is used up."""
        ticks = self.ticks.after(self._taken, max(1, ITEMS_PER_RESPONSE // max(1, *map(len, self._groups), 1)))
        if ticks and any(self._groups):
            requestdata = requestdata or self.pub_request_callback(self.data.SubscriptionId)
            if requestdata is None:
                self._publish_cycles_count += 1
                return False
            self._send(ticks, requestdata)
            if self._triggered_datachanges:
                await super().publish_results()
            return True
        return bool(await super().publish_results(requestdata))

    def _send(self, ticks: list[Tick], requestdata: Any) -> None:
        processor = self.pub_result_callback.__self__
        request = requestdata.requesthdr.RequestHandle
        blocks = [
            Block(handles, [(tick.value, tick.time) for tick in ticks if tick.group == group])
            for group, handles in enumerate(self._groups)
        ]
        body = encode_notification(Notification(self.data.SubscriptionId, self._notification_seq, request, blocks))
        message = processor._connection.message_to_binary(body, request_id=requestdata.seqhdr.RequestId)  # noqa: SLF001
        processor._transport.write(message)  # noqa: SLF001 - asyncua sends objects only
        self._notification_seq += 1
        self._keep_alive_count = self._publish_cycles_count = 0
        self._startup = False
        self._taken = ticks[-1].number


class Lines:
    """A journal line per turn: its time (ms UTC) and every changed signal's value, as the checker reads it."""

    def __init__(self, signals: list[str], groups: int) -> None:
        self._values = [",".join(f'"{name}":#' for name in signals[group::groups]) for group in range(groups)]

    def line(self, milliseconds: int, group: int, value: int) -> str:
        """What stands in the journal before the turn is offered."""
        values = self._values[group].replace("#", f"{value}.0")
        return f'{{"t":{milliseconds},"signals":{{{values}}}}}'


async def run(options: argparse.Namespace, journal: Journal, lines: Lines) -> None:
    """Counts once per period, with whole-millisecond source times, until SIGTERM."""
    port, signals, groups, ready_file = options.port, options.signals, options.groups, options.ready_file
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    CounterSubscription.ticks, CounterSubscription.namespace = Ticks(groups), index
    subscription_service.InternalSubscription = CounterSubscription
    counters = await server.nodes.objects.add_folder(ua.NodeId("Counters", index), f"{index}:Counters")
    for number in range(signals):
        name = f"{COUNTER}{number}"
        await counters.add_variable(ua.NodeId(name, index), f"{index}:{name}", 0.0)
    level = await add_loop(server, index)
    async with server:
        ready_file.write_text(json.dumps({"port": port}), encoding="utf-8")
        ticks, told = CounterSubscription.ticks, 0
        async for milliseconds in turns(options.period_seconds / groups, stop):
            journal.write(lines.line(milliseconds, *ticks.next()))
            ticks.add(milliseconds)
            if milliseconds // 1000 != told:
                told = milliseconds // 1000
                await level.write_value(sine(milliseconds))


async def add_loop(server: Server, index: int) -> Node:
    """What a loop reads and writes; returns its process value."""
    folder = await server.nodes.objects.add_folder(ua.NodeId("Loop", index), f"{index}:Loop")
    for name in PERMISSIVES:
        await folder.add_variable(ua.NodeId(name, index), f"{index}:{name}", val=True)
    set_point = await folder.add_variable(ua.NodeId(SET_POINT, index), f"{index}:{SET_POINT}", 50.0)
    await set_point.set_writable()
    return await folder.add_variable(ua.NodeId(PROCESS_VALUE, index), f"{index}:{PROCESS_VALUE}", 50.0)


def sine(milliseconds: int) -> ua.DataValue:
    """The process value, stamped."""
    value = 50.0 + 10.0 * math.sin(milliseconds / 1000.0 / SINE_SECONDS * 2 * math.pi)
    stamp = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=stamp, ServerTimestamp=stamp)


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--period-seconds", type=float, default=0.1, help="between two values of a counter")
    parser.add_argument("--groups", type=int, default=1, help="that count in turn, evenly within the period")
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--journal", type=Path, help="a line per turn is added to this file")
    parser.add_argument("--journal-prefix", default="", help="what stands before c0, c1 ... in the journal")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    names = [f"{options.journal_prefix}{COUNTER}{number}" for number in range(options.signals)]
    with closing(Journal(options.journal)) as journal:
        asyncio.run(run(options, journal, Lines(names, options.groups)))


if __name__ == "__main__":
    main()
