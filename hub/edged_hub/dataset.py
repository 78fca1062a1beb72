"""Training files as `edged-sim dataset` writes them, checked and turned into feature vectors."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.errors import EdgedError
from edged.types import NANOSECONDS_PER_SECOND, Sample
from edged_inference.features import Feature, FeatureWindows

FEATURES_FILE = "features.csv"
MANIFEST_FILE = "manifest.json"
LABEL = "defect"
ORACLE = "oracle_probability"
LINE = "training"


class DatasetUnfit(EdgedError):
    """The training files are damaged or do not fit the profile: write them again with `edged-sim dataset`."""


@dataclass(frozen=True, slots=True)
class Examples:
    """In order of time: `vectors` (n, features) float32, the others (n,); `seconds` count from the first."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    oracle: NDArray[np.float64]
    seconds: NDArray[np.int64]
    units: dict[str, str]
    horizon_seconds: float
    sha256: str


def read_examples(folder: Path, features: Sequence[Feature], stride_seconds: int) -> Examples:
    """Replays the recording through the windows that the edge uses, one vector per stride. Raises DatasetUnfit."""
    manifest = _read_manifest(folder / MANIFEST_FILE)
    path = folder / FEATURES_FILE
    sha256 = _verify(path, manifest)
    units = {column["name"]: column["unit"] for column in manifest["columns"] if column["role"] == "signal"}
    missing = sorted({feature.signal for feature in features} - set(units))
    if missing:
        raise DatasetUnfit(f"{path}: has no column {', '.join(missing)}")
    rows = list(_vectors(path, features, stride_seconds))
    if not rows:
        raise DatasetUnfit(f"{path}: too short for windows of {max(f.window_seconds for f in features)} s")
    vectors, labels, oracle, seconds = zip(*rows, strict=True)
    return Examples(
        np.asarray(vectors, dtype=np.float32),
        np.asarray(labels, dtype=np.int64),
        np.asarray(oracle, dtype=np.float64),
        np.asarray(seconds, dtype=np.int64),
        units,
        float(manifest["horizon_seconds"]),
        sha256,
    )


def _vectors(path: Path, features: Sequence[Feature], stride: int) -> Iterator[tuple[list[float], int, float, int]]:
    windows = FeatureWindows(features, LINE)
    signals = sorted({feature.signal for feature in features})
    first: int | None = None
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                second = round(datetime.fromisoformat(row["timestamp"]).timestamp())
                values = [float(row[signal]) for signal in signals]
                label, oracle = int(row[LABEL]), float(row[ORACLE])
            except (KeyError, TypeError, ValueError) as fault:
                raise DatasetUnfit(f"{path}:{number}: {fault}") from fault
            now = second * NANOSECONDS_PER_SECOND
            windows.update([Sample(f"{LINE}/{s}", v, now, now) for s, v in zip(signals, values, strict=True)])
            first = second if first is None else first
            if (second - first) % stride == 0:
                vector, _ = windows.vector(now)
                if vector:
                    yield vector, label, oracle, second - first


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as fault:
        raise DatasetUnfit(f"{path}: {fault.strerror}") from fault
    except ValueError as fault:
        raise DatasetUnfit(f"{path}: not JSON: {fault}") from fault
    for key in ("columns", "files", "horizon_seconds"):
        if key not in manifest:
            raise DatasetUnfit(f"{path}: has no {key}")
    return manifest


def _verify(path: Path, manifest: dict[str, Any]) -> str:
    expected = str(manifest["files"].get(FEATURES_FILE, {}).get("sha256", ""))
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise DatasetUnfit(f"{path}: {fault.strerror}") from fault
    if found != expected:
        raise DatasetUnfit(f"{path}: its hash is {found[:12]}..., the manifest says {expected[:12]}...")
    return found
