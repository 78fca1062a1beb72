"""A model slot: windows in, one probability out, once per period."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edged.clock import Clock
from edged.log import get_logger
from edged.metrics import Metrics
from edged.ports import Road, SampleListener
from edged.settings import ModelSettings
from edged.types import Prediction, Quality, Sample, Signal
from edged_inference.features import FeatureWindows
from edged_inference.manifest import Bundle, Manifest, ModelRefused, load_bundle
from edged_inference.session import OnnxScorer, Scorer

SUPPORT_MARGIN = 0.5
"""How far outside the range seen in training a feature may lie, as a share of that range, before it is not trusted."""

log = get_logger("inference")


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """How one model is doing. `probability` is None with the reason while it cannot say anything."""

    name: str
    version: str
    model_hash: str
    output: str
    probability: float | None
    reason: str
    predictions: int
    milliseconds: float


class ModelSlot:
    """Loads a verified bundle, keeps its windows filled, publishes its probability as a signal and a Prediction."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        output: str,
        signals: Mapping[str, Signal],
        line: str,
        road: Road,
        subscribe: Callable[[SampleListener], None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._output = output
        self._signals = signals
        self._line = line
        self._road = road
        self._subscribe = subscribe
        self._clock = clock
        self._latency = metrics.histogram("edged_inference_seconds", "Time of one model run", ("model",)).labels(
            settings.name
        )
        self._refusals = metrics.counter(
            "edged_inference_refusals_total", "Predictions that could not be made", ("model",)
        ).labels(settings.name)
        self._manifest: Manifest | None = None
        self._windows: FeatureWindows | None = None
        self._last = Prediction(settings.name, "", output, 0, None, 0.0, "not loaded yet")
        self._count = 0
        self._milliseconds = 0.0

    async def run(self) -> None:
        """Predicts once per period until cancelled. Raises ModelRefused for a bundle that does not verify."""
        with ThreadPoolExecutor(1, thread_name_prefix=f"model-{self.name}") as executor:
            loop = asyncio.get_running_loop()
            bundle, scorer = await loop.run_in_executor(executor, self._load)
            self._take(bundle.manifest)
            due = self._clock.monotonic()
            while True:
                due += self._settings.period_seconds
                await self._clock.sleep(due - self._clock.monotonic())
                await self._predict(scorer, executor)

    def status(self) -> SlotStatus:
        """A snapshot for /status."""
        last = self._last
        return SlotStatus(
            self.name,
            last.version,
            last.model_hash,
            self._output,
            last.value,
            last.reason,
            self._count,
            self._milliseconds,
        )

    def _load(self) -> tuple[Bundle, Scorer]:
        bundle = load_bundle(self._settings.bundle)
        self._check_signals(bundle.manifest)
        return bundle, OnnxScorer(bundle)

    def _take(self, manifest: Manifest) -> None:
        if self._windows is None:
            self._windows = FeatureWindows([column.feature for column in manifest.inputs], self._line)
            self._subscribe(self._windows.update)
        self._manifest = manifest
        log.info("model_loaded", model=self.name, version=manifest.version, sha256=manifest.sha256[:12])

    def _check_signals(self, manifest: Manifest) -> None:
        for column in manifest.inputs:
            path = f"{self._line}/{column.feature.signal}"
            signal = self._signals.get(path)
            if signal is None:
                raise ModelRefused(f"{self.name}: needs signal {path}, which this line does not have")
            if signal.unit != column.unit:
                raise ModelRefused(f"{self.name}: needs {path} in {column.unit}, the line has {signal.unit}")

    async def _predict(self, scorer: Scorer, executor: ThreadPoolExecutor) -> None:
        assert self._windows is not None
        assert self._manifest is not None
        now = self._clock.now()
        vector, missing = self._windows.vector(now)
        reason = f"no fresh data of {missing}" if missing else self._outside_support(vector)
        value: float | None = None
        if not reason:
            started = self._clock.monotonic()
            value = await asyncio.get_running_loop().run_in_executor(executor, scorer.score, vector)
            elapsed = self._clock.monotonic() - started
            self._latency.observe(elapsed)
            self._milliseconds = elapsed * 1000.0
            self._count += 1
        else:
            self._refusals.inc()
        await self._publish(value, reason, now)

    def _outside_support(self, vector: list[float]) -> str:
        """The reason to stay silent: a feature far outside what the model was trained on."""
        assert self._manifest is not None
        for value, column in zip(vector, self._manifest.inputs, strict=True):
            margin = SUPPORT_MARGIN * (column.high - column.low)
            if not column.low - margin <= value <= column.high + margin:
                feature = column.feature
                return f"{feature.signal} {feature.statistic} {value:.4g} is outside the training range"
        return ""

    async def _publish(self, value: float | None, reason: str, now: int) -> None:
        assert self._manifest is not None
        manifest = self._manifest
        changed = reason != self._last.reason
        self._last = Prediction(
            manifest.name, manifest.version, self._output, now, value, manifest.horizon_seconds, reason, manifest.sha256
        )
        quality = Quality.GOOD if value is not None else Quality.BAD
        committed = self._road.publish(f"model:{self.name}", [Sample(self._output, value, now, now, quality, reason)])
        if value is not None or changed:
            await self._road.record([self._last])
        await committed
