"""Training of small models: split by time, learn, export to ONNX, check parity, report honestly, write a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.errors import EdgedError, MissingLibrary
from edged_hub.dataset import DatasetUnfit, Examples, read_examples
from edged_hub.recipes import RECIPES, Recipe
from edged_inference.features import Feature
from edged_inference.manifest import MANIFEST_FILE, MODEL_FILE, Bundle, Input, Manifest
from edged_inference.session import OnnxScorer

TRAIN_SHARE, THRESHOLD_SHARE = 0.6, 0.15
PARITY_TOLERANCE = 1e-4
PARITY_EXAMPLES = 500
RANDOM_STATE = 7
OPSET = 17
CALIBRATION_BINS = 10
MINIMUM_POSITIVES = 20


class TrainingFailed(EdgedError):
    """The model could not be trained or its export does not agree with it: see what is named, then train again."""


class Slices(NamedTuple):
    """Masks over the examples, in order of time, with a gap of window + horizon between them."""

    train: NDArray[np.bool_]
    threshold: NDArray[np.bool_]
    test: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trained:
    """What training made."""

    manifest: Manifest
    model: bytes


def train(folder: Path, profile: str, trained: str, progress: Callable[[str], None]) -> Trained:
    """Trains a profile on a folder of training files; `trained` is the date that the manifest will carry."""
    recipe = RECIPES[profile]
    progress(f"reading {folder}")
    examples = read_examples(folder, recipe.features, recipe.stride_seconds)
    slices = split(examples, max(feature.window_seconds for feature in recipe.features))
    progress(f"{len(examples.labels)} windows, {examples.labels.mean():.1%} with a defect ahead; learning")
    model = _fit(recipe, examples, slices)
    graph = _export(model, len(recipe.features))
    threshold = _best_threshold(_scores(model, examples.vectors[slices.threshold]), examples.labels[slices.threshold])
    scores = _scores(model, examples.vectors[slices.test])
    metrics = measure(scores, examples.labels[slices.test], examples.oracle[slices.test], threshold)
    manifest = _manifest(recipe, examples, slices, graph, threshold, metrics, trained)
    progress("checking that the exported model agrees with the trained one")
    _check_parity(Trained(manifest, graph), examples.vectors[slices.test], scores)
    return Trained(manifest, graph)


def write_bundle(trained: Trained, out: Path) -> None:
    """Writes model and manifest into a folder, the manifest last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL_FILE).write_bytes(trained.model)
    (out / MANIFEST_FILE).write_text(trained.manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def split(examples: Examples, window_seconds: int) -> Slices:
    """By time, never at random; each border purged so that no window or horizon reaches across."""
    seconds = examples.seconds
    gap = window_seconds + examples.horizon_seconds
    train_end = seconds[-1] * TRAIN_SHARE
    threshold_end = seconds[-1] * (TRAIN_SHARE + THRESHOLD_SHARE)
    slices = Slices(
        seconds < train_end,
        (seconds >= train_end + gap) & (seconds < threshold_end),
        seconds >= threshold_end + gap,
    )
    for name, mask in slices._asdict().items():
        positives = int(examples.labels[mask].sum())
        if positives < MINIMUM_POSITIVES or positives == mask.sum():
            raise DatasetUnfit(f"the {name} slice has {positives} of {mask.sum()} windows with a defect: record longer")
    return slices


def measure(
    scores: NDArray[np.float64], labels: NDArray[np.int64], oracle: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """Quality on the test slice, beside what the oracle reaches on the same windows."""
    said = scores >= threshold
    hit, miss = int((said & (labels == 1)).sum()), int((~said & (labels == 1)).sum())
    false, quiet = int((said & (labels == 0)).sum()), int((~said & (labels == 0)).sum())
    recall, precision = hit / max(1, hit + miss), hit / max(1, hit + false)
    f1 = _f1(scores, labels, threshold)
    best = max(_f1(oracle, labels, one) for one in np.linspace(0.05, 0.95, 19))
    figures = {
        "test_windows": float(len(labels)),
        "positive_share": float(labels.mean()),
        "recall": recall,
        "precision": precision,
        "f1": f1,
        "balanced_accuracy": (recall + quiet / max(1, quiet + false)) / 2.0,
        "calibration_error": _calibration_error(scores, labels),
        "oracle_f1": best,
        "f1_of_oracle": f1 / best if best else 0.0,
    }
    return {name: round(value, 4) for name, value in figures.items()}


def _fit(recipe: Recipe, examples: Examples, slices: Slices) -> Any:
    try:
        from sklearn.ensemble import GradientBoostingClassifier
    except ImportError as fault:
        raise MissingLibrary("scikit-learn", "train") from fault
    model = GradientBoostingClassifier(
        n_estimators=recipe.trees,
        max_depth=recipe.depth,
        learning_rate=recipe.learning_rate,
        subsample=0.8,
        random_state=RANDOM_STATE,
    )
    return model.fit(examples.vectors[slices.train], examples.labels[slices.train])


def _export(model: Any, width: int) -> bytes:
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
    except ImportError as fault:
        raise MissingLibrary("skl2onnx", "train") from fault
    graph = convert_sklearn(
        model,
        name="defect_risk",
        initial_types=[("features", FloatTensorType([None, width]))],
        options={"zipmap": False},
        target_opset=OPSET,
    )
    # The converter lists them in the order of a set of strings, another one in each process.
    graph.opset_import.sort(key=lambda opset: opset.domain, reverse=True)
    exported: bytes = graph.SerializeToString(deterministic=True)
    return exported


def _scores(model: Any, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(model.predict_proba(vectors)[:, 1], dtype=np.float64)


def _best_threshold(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    candidates = np.linspace(0.05, 0.95, 91)
    return round(float(max(candidates, key=lambda one: _f1(scores, labels, one))), 3)


def _f1(scores: NDArray[np.float64], labels: NDArray[np.int64], threshold: float) -> float:
    said = scores >= threshold
    hit = int((said & (labels == 1)).sum())
    return 2.0 * hit / max(1, int(said.sum()) + int((labels == 1).sum()))


def _calibration_error(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015)."""
    bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    error = 0.0
    for number in range(CALIBRATION_BINS):
        inside = bins == number
        if inside.any():
            error += float(inside.mean()) * abs(float(scores[inside].mean()) - float(labels[inside].mean()))
    return error


def _manifest(
    recipe: Recipe,
    examples: Examples,
    slices: Slices,
    graph: bytes,
    threshold: float,
    metrics: dict[str, float],
    trained: str,
) -> Manifest:
    seen = examples.vectors[slices.train]
    inputs = tuple(
        _input(feature, examples.units[feature.signal], seen[:, column])
        for column, feature in enumerate(recipe.features)
    )
    hyperparameters: dict[str, float | int | str] = {
        "kind": "gradient boosting",
        "trees": recipe.trees,
        "depth": recipe.depth,
        "learning_rate": recipe.learning_rate,
        "random_state": RANDOM_STATE,
        "stride_seconds": recipe.stride_seconds,
    }
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        sha256=hashlib.sha256(graph).hexdigest(),
        inputs=inputs,
        horizon_seconds=examples.horizon_seconds,
        threshold=threshold,
        period_seconds=recipe.period_seconds,
        trained=trained,
        data_sha256=examples.sha256,
        metrics=metrics,
        hyperparameters=hyperparameters,
    )


def _input(feature: Feature, unit: str, values: NDArray[np.float32]) -> Input:
    return Input(feature=feature, unit=unit, low=float(values.min()), high=float(values.max()))


def _check_parity(trained: Trained, vectors: NDArray[np.float32], scores: NDArray[np.float64]) -> None:
    scorer = OnnxScorer(Bundle(trained.manifest, trained.model))
    for vector, expected in list(zip(vectors, scores, strict=True))[:PARITY_EXAMPLES]:
        found = scorer.score([float(value) for value in vector])
        if abs(found - float(expected)) > PARITY_TOLERANCE:
            raise TrainingFailed(f"the exported model says {found:.6f} where the trained one says {expected:.6f}")
