"""An ONNX session loaded from verified bytes: the home of onnxruntime on the edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, cast

from edged.errors import MissingLibrary
from edged_inference.manifest import Bundle, ModelRefused

PROBABILITY_OUTPUT = 1
"""Index of the output that holds class probabilities, shape (batch, 2); output 0 is the label."""


class Scorer(Protocol):
    """What a slot needs of a model."""

    def score(self, vector: Sequence[float]) -> float:
        """The probability of the event, 0..1. Raises ModelRefused when the model returns anything else."""
        ...


class OnnxScorer:
    """One session, one thread, no spinning: it shares a small box."""

    def __init__(self, bundle: Bundle) -> None:
        try:
            import onnxruntime
        except ImportError as fault:
            raise MissingLibrary("onnxruntime", "inference") from fault
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._name = bundle.manifest.name
        self._width = len(bundle.manifest.inputs)
        try:
            self._session: Any = onnxruntime.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
        except _refusals() as fault:
            raise ModelRefused(f"{self._name}: onnxruntime refuses it: {fault}") from fault
        self._input = self._session.get_inputs()[0].name
        self._check_width()

    def score(self, vector: Sequence[float]) -> float:
        """The probability for one vector of features, in the manifest's order and units."""
        import numpy

        batch = numpy.asarray([vector], dtype=numpy.float32)
        outputs = self._session.run(None, {self._input: batch})
        probability = float(cast(Any, outputs[PROBABILITY_OUTPUT])[0][1])
        if not math.isfinite(probability) or not 0.0 <= probability <= 1.0:
            raise ModelRefused(f"{self._name}: returned {probability}, not a probability")
        return probability

    def _check_width(self) -> None:
        shape = self._session.get_inputs()[0].shape
        if len(shape) != 2 or shape[1] != self._width or len(self._session.get_outputs()) <= PROBABILITY_OUTPUT:
            raise ModelRefused(f"{self._name}: the graph takes {shape}, the manifest lists {self._width} inputs")


def _refusals() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a graph that it does not take: it has one class per status, without a common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    return (RuntimeError, ValueError, *(getattr(state, name) for name in names))
