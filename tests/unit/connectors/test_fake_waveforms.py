"""The fake source by itself, as a dry run uses it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

from edged.clock import VirtualClock
from edged.ports import Reading
from edged.registry import Binding, SourceSetup
from edged.types import Seal, Signal, Value, ValueType
from edged_connectors.south.fake import KIND, FakeAddress, FakeOptions, Waveform

SINE = FakeAddress(waveform=Waveform.SINE, mean=1500.0, amplitude=10.0, cycle_seconds=40.0)
COUNTER = FakeAddress()
WAYS = [
    (Signal("line_a/fake/sine", "degC"), SINE),
    (Signal("line_a/fake/counter", "1"), COUNTER),
    (Signal("line_a/fake/whole", "1", ValueType.INT), SINE),
    (Signal("line_a/fake/flag", "1", ValueType.BOOL), COUNTER),
    (Signal("line_a/fake/high", "1", ValueType.BOOL), SINE),
    (Signal("line_a/fake/text", "1", ValueType.STRING), COUNTER),
    (Signal("line_a/fake/silent", "1"), FakeAddress(waveform=Waveform.SILENT)),
]


async def test_every_waveform_gives_a_value_of_its_type_each_period(tmp_path: Path) -> None:
    clock = VirtualClock()
    bindings = tuple(Binding(signal, address) for signal, address in WAYS)
    setup = SourceSetup("fake", FakeOptions(period_milliseconds=500), bindings, clock, Seal(), tmp_path)
    connector = KIND.build(setup)
    await connector.connect()
    readings: list[Reading] = []

    async def read() -> None:
        while True:
            readings.append(await connector.read())

    task = asyncio.get_running_loop().create_task(read())
    await clock.advance(10.0)
    task.cancel()
    await asyncio.wait({task})
    await connector.close()
    assert len(readings) == 20
    last = {sample.signal.rsplit("/", 1)[1]: sample.value for sample in readings[-1].samples}
    expected: dict[str, Value] = {
        "sine": 1500.0 + 10.0 * math.sin(2 * math.pi * 10.0 / 40.0),
        "counter": 20.0,
        "whole": 1510,
        "flag": False,
        "high": True,
        "text": "20",
    }
    assert last == expected
    assert [type(last[name]) for name in last] == [type(expected[name]) for name in last]
