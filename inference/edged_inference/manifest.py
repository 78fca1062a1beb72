"""The contract between training and the edge: what a model bundle says of itself, and its verified bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edged.errors import EdgedError
from edged_inference.features import Feature

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
MAX_MODEL_BYTES = 64_000_000


class ModelRefused(EdgedError):
    """The model bundle cannot be trusted or does not fit this line: train or copy it again, then restart."""


class Input(BaseModel):
    """One column of the input vector: a statistic of a signal, with the range that it had in training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: Feature
    unit: str
    low: float
    high: float


class Manifest(BaseModel):
    """What a bundle says of its model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description=f"of {MODEL_FILE}")]
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    horizon_seconds: float
    threshold: Annotated[float, Field(ge=0, le=1)]
    period_seconds: float
    trained: str
    data_sha256: str
    metrics: dict[str, float]
    hyperparameters: dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A manifest and the bytes that its hash was checked over: sessions load these, never a path."""

    manifest: Manifest
    model: bytes


def load_bundle(folder: Path) -> Bundle:
    """Reads and verifies a bundle. Raises ModelRefused naming the file and what is wrong with it."""
    manifest = _read_manifest(folder / MANIFEST_FILE)
    path = folder / MODEL_FILE
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelRefused(f"{path}: {size} bytes, at most {MAX_MODEL_BYTES} are accepted")
        model = path.read_bytes()
    except OSError as fault:
        raise ModelRefused(f"{path}: {fault.strerror}") from fault
    found = hashlib.sha256(model).hexdigest()
    if found != manifest.sha256:
        raise ModelRefused(f"{path}: its hash is {found[:12]}..., the manifest says {manifest.sha256[:12]}...")
    return Bundle(manifest, model)


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise ModelRefused(f"{path}: {fault.strerror}") from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelRefused(f"{path}: {where or 'document'}: {first['msg']}") from fault
