"""A model slot: verified bytes in, a probability out, silence with a reason when it cannot know (CARD3)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.metrics import Metrics
from edged.ports import SampleListener
from edged.settings import ModelSettings
from edged.supervise import start_task
from edged.types import Event, Prediction, Quality, Sample, Signal
from edged_inference.manifest import MANIFEST_FILE, MODEL_FILE, ModelRefused, load_bundle
from edged_inference.session import OnnxScorer
from edged_inference.slot import ModelSlot

OUTPUT = "line_a/quality/defect_probability"
BUNDLE = Path("configs/models/defect_risk")


class MemoryRoad:
    """Keeps what is published; durable at once."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.events: list[Event] = []

    def publish(self, source: str, samples: Sequence[Sample], marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.samples.extend(samples)
        return _done()

    def record(self, events: Sequence[Event], source: str = "", marks: Sequence[bytes] = ()) -> Awaitable[None]:
        self.events.extend(events)
        return _done()

    def last_seen(self, source: str) -> int | None:
        return None

    def marks(self, source: str) -> Sequence[bytes]:
        return ()


def _done() -> Awaitable[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


class Bench:
    """A slot on a virtual clock, and a plant that feeds it."""

    def __init__(self, bundle: Path, units: dict[str, str] | None = None) -> None:
        self.clock = VirtualClock()
        self.road = MemoryRoad()
        self.listeners: list[SampleListener] = []
        manifest = load_bundle(BUNDLE).manifest
        self.middle = {c.feature.signal: (c.low + c.high) / 2 for c in manifest.inputs if c.feature.statistic == "mean"}
        wanted = {column.feature.signal: column.unit for column in manifest.inputs} | (units or {})
        signals = {f"line_a/{name}": Signal(f"line_a/{name}", unit) for name, unit in wanted.items()}
        self.slot = ModelSlot(
            ModelSettings(name="defect_risk", bundle=bundle, output="quality/defect_probability"),
            output=OUTPUT,
            signals=signals,
            line="line_a",
            road=self.road,
            subscribe=self.listeners.append,
            clock=self.clock,
            metrics=Metrics(),
        )

    def feed(self, **changes: float | None) -> None:
        now = self.clock.now()
        values = {**self.middle, "forming/thickness": 4.0} | {
            name.replace("__", "/"): value for name, value in changes.items()
        }
        batch = [
            Sample(f"line_a/{name}", value, now, now, Quality.GOOD if value is not None else Quality.BAD)
            for name, value in values.items()
        ]
        for listener in self.listeners:
            listener(batch)

    async def run(self, seconds: int, **changes: float | None) -> None:
        for _ in range(seconds):
            self.feed(**changes)
            wanted = len(self.road.samples) + 1
            await self.clock.advance(1.0)
            async with asyncio.timeout(5.0):
                while len(self.road.samples) < wanted:
                    await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = start_task("slot", bench.slot.run())
    async with asyncio.timeout(10.0):
        while not bench.listeners:
            await asyncio.sleep(0.001)
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_says_nothing_until_its_windows_are_full_and_then_a_probability() -> None:
    async with running(Bench(BUNDLE)) as bench:
        await bench.run(5)
        first = bench.road.samples[0]
        assert (first.value, first.quality) == (None, Quality.BAD)
        assert "no fresh data" in first.reason
        await bench.run(40)
        last = bench.road.samples[-1]
        assert isinstance(last.value, float)
        assert 0.0 <= last.value <= 1.0
        said = [event for event in bench.road.events if isinstance(event, Prediction) and event.value is not None]
        assert said[-1].model_hash == load_bundle(BUNDLE).manifest.sha256
        assert bench.slot.status().predictions == len(said)


async def test_an_input_outside_the_training_range_silences_it_with_the_name() -> None:
    async with running(Bench(BUNDLE)) as bench:
        await bench.run(40)
        await bench.run(40, forming__mould_temperature=5000.0)
        assert bench.road.samples[-1].value is None
        assert "forming/mould_temperature" in bench.road.samples[-1].reason


async def test_a_signal_that_goes_bad_silences_it() -> None:
    async with running(Bench(BUNDLE)) as bench:
        await bench.run(40)
        await bench.run(30, furnace__temperature=None)
        assert bench.road.samples[-1].reason == "no fresh data of line_a/furnace/temperature"


async def test_a_unit_that_is_not_the_trained_one_is_refused() -> None:
    bench = Bench(BUNDLE, units={"furnace/temperature": "degF"})
    with pytest.raises(ModelRefused, match="furnace/temperature in degC, the line has degF"):
        await bench.slot.run()


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))


def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    bundle = copied(tmp_path)
    model = bytearray((bundle / MODEL_FILE).read_bytes())
    model[100] ^= 1
    (bundle / MODEL_FILE).write_bytes(model)
    with pytest.raises(ModelRefused, match="its hash is"):
        load_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": "x"}', "\x00"])
def test_a_manifest_that_is_not_one_is_refused(tmp_path: Path, text: str) -> None:
    bundle = copied(tmp_path)
    (bundle / MANIFEST_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelRefused, match=MANIFEST_FILE):
        load_bundle(bundle)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="No such file"):
        load_bundle(tmp_path / "absent")


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    bundle = load_bundle(BUNDLE)
    with pytest.raises(ModelRefused, match="onnxruntime refuses"):
        OnnxScorer(type(bundle)(bundle.manifest, b"not a model"))


def test_a_manifest_for_another_width_is_refused() -> None:
    bundle = load_bundle(BUNDLE)
    narrow = bundle.manifest.model_copy(update={"inputs": bundle.manifest.inputs[:2]})
    with pytest.raises(ModelRefused, match="the manifest lists 2 inputs"):
        OnnxScorer(type(bundle)(narrow, bundle.model))


def test_the_bundle_is_small_and_names_its_data() -> None:
    bundle = load_bundle(BUNDLE)
    assert len(bundle.model) < 1_000_000
    assert len(bundle.manifest.data_sha256) == 64
    assert json.loads((BUNDLE / MANIFEST_FILE).read_text(encoding="utf-8"))["metrics"]["f1"] > 0.5
